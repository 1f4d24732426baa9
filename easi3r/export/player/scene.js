// What the page shows, and the state that its parts share.
// Coordinates are those of the reconstruction: x right, y down, z forward, as the first camera stood.

const $ = id => document.getElementById(id);
const scenes = JSON.parse($("scene").textContent);  // one, or up to four of the same clip in the same world
const scene = scenes[0];  // its clock, its first view and its measure of length hold for all
const lastStep = scene.frames.length - 1;
for (const each of scenes) {  // where points lie: those of each frame that stand still, those of each step's movers
  let start = 0;
  const range = (index, count) => ({ index, count, start: (start += count) - count });
  each.still = each.static.map(([t, count]) => range(t, count));
  each.steps = each.moving.map(counts => counts.map((count, mover) => range(mover, count)));
}
const canvas = $("view");

const embedded = window.name === "easi3r-page";
const answered = embedded && scenes.length < 2;  // the page acts on what is said here of its result
const state = { step: 0, playing: false, view: null, clock: 0, dirty: false, wipe: 0.5, inHand: false, cost: 0 };
const POINT = 18;  // bytes
let gl, splats, lines, film, buffers, pointData;  // pointData, buffers.points: one per scene
let layers, kept;  // of the picture, and what the first of them shows from where

const unpackAll = () => Promise.all([...document.querySelectorAll(".points")].map(unpack));

async function unpack(element) {
  const text = atob(element.textContent.trim());
  element.remove();
  const packed = Uint8Array.from(text, letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
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

const tellPage = (kind, about) => parent.postMessage({ easi3r: kind, ...about }, "*");
