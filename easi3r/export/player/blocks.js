// The points of a scene, in blocks: what stands still with the first moments of what moves, which always stays, and
// those of a long clip's other moments, which are unpacked when playback comes near, and dropped when it is far.

const packed = [...document.querySelectorAll(".points")];
const blocks = scenes.map(scene => {  // block: { text } and, once it is unpacked, { rows, buffer }
  const count = Math.max(1, Math.ceil(scene.moments.length / scene.block));
  return packed.splice(0, count).map(text => ({ text, rows: null, buffer: null, waits: false }));
});

const blockOf = (scene, step) => scene.moments[momentOf(scene, step)].block;
const rowsOf = (scene, block) => blocks[scenes.indexOf(scene)][block].rows;
const bufferOf = (scene, block) => blocks[scenes.indexOf(scene)][block].buffer;  // null: not there yet

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const columns = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = columns.length / POINT, rows = new Uint8Array(columns.length);
  for (let column = 0; column < POINT; column++) {
    let value = 0;  // each byte is stored as the difference to the point before
    for (let row = 0; row < count; row++) {
      rows[row * POINT + column] = value = value + columns[column * count + row] & 255;
    }
  }
  return rows;
}

function unpackFirst() {
  return Promise.all(blocks.map(async ([first]) => {
    first.rows = await unpack(first.text.textContent);
    first.text.remove();
  }));
}

async function fetchBlock(block) {
  block.waits = true;
  const rows = await unpack(block.text.textContent);
  block.waits = false;
  if (gl.isContextLost()) return;
  block.rows = rows;
  upload(block);
  kept = null;  // ghosts in it may be of this block
  redraw();
}

function upload(block) {
  block.buffer = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, block.buffer);
  gl.bufferData(gl.ARRAY_BUFFER, block.rows, gl.STATIC_DRAW);
}

const uploadAll = () => blocks.flat().forEach(block => { if (block.rows) upload(block); });

function keepBlocks() {  // those of this step, of the next ones and the last ones, and of the ghosts
  scenes.forEach((scene, k) => {
    const count = blocks[k].length, now = blockOf(scene, state.step);
    const wanted = new Set([now, (now + 1) % count]);
    if (pressed("trail")) trailSteps().forEach(step => wanted.add(blockOf(scene, step)));
    blocks[k].forEach((block, number) => {
      if (!block.rows && !block.waits && wanted.has(number)) fetchBlock(block);
      if (!block.rows || number === 0 || wanted.has(number) || number === now - 1) return;
      gl.deleteBuffer(block.buffer);
      block.rows = block.buffer = null;
    });
  });
}
