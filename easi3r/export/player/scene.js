// What the page shows, and the state that its parts share.
// Coordinates are those of the reconstruction: x right, y down, z forward, as the first camera stood.

const $ = id => document.getElementById(id);
const scenes = JSON.parse($("scene").textContent);  // one, or up to four of the same clip in the same world
const scene = scenes[0];  // its clock, its first view and its measure of length hold for all
const lastStep = scene.frames.length - 1;
for (const each of scenes) {  // number of the first point of each step
  each.starts = each.moving.reduce((sums, count) => [...sums, sums.at(-1) + count], [each.static]);
}
const canvas = $("view");

const state = { step: 0, playing: false, view: null, clock: 0, dirty: false, wipe: 0.5, inHand: false, cost: 0 };
let gl, splats, lines, buffers, pointData;  // pointData, buffers.points: one per scene
let layers, kept;  // of the picture, and what the first of them shows from where

const unpackAll = () => Promise.all([...document.querySelectorAll(".points")].map(unpack));

async function unpack(element) {
  const text = atob(element.textContent.trim());
  element.remove();
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
