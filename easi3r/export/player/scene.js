// What the page shows, and the state that its parts share.
// Coordinates are those of the reconstruction: x right, y down, z forward, as the first camera stood.

const $ = id => document.getElementById(id);
const scene = JSON.parse($("scene").textContent);
const [pictureWidth, pictureHeight] = scene.size;
const lastStep = scene.frames.length - 1;
// number of the first point of each step
const starts = scene.moving.reduce((sums, count) => [...sums, sums.at(-1) + count], [scene.static]);
const canvas = $("view");
const canvasSize = () => [canvas.width, canvas.height];

const state = { step: 0, playing: false, view: null, clock: 0, dirty: false };
let gl, splats, lines, buffers, pointData;

async function unpack() {
  const text = atob($("points").textContent.trim());
  $("points").remove();
  const packed = Uint8Array.from(text, letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const columns = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = columns.length / 16, rows = new Uint8Array(columns.length);
  for (let column = 0; column < 16; column++) {
    let value = 0;  // each byte is stored as the difference to the point before
    for (let row = 0; row < count; row++) rows[row * 16 + column] = value = value + columns[column * count + row] & 255;
  }
  return rows;
}
