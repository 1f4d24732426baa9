// What the page shows, and the state that its parts share.
// Coordinates are those of the reconstruction: x right, y down, z forward, as the first camera stood.

const $ = id => document.getElementById(id);
const scenes = JSON.parse($("scene").textContent);  // one, or up to four of the same clip in the same world
const scene = scenes[0];  // its clock, its first view and its measure of length hold for all
const lastStep = scene.frames.length - 1;
for (const each of scenes) {  // where in their block points lie: those of each frame that stand still, then movers
  let start = 0;
  const range = (index, count) => ({ index, count, start: (start += count) - count });
  each.still = each.static.map(([t, count]) => range(t, count));
  each.moments = each.moving.map((counts, moment) => {
    if (moment && moment % each.block === 0) start = 0;
    return { block: Math.floor(moment / each.block), ranges: counts.map((count, mover) => range(mover, count)) };
  });
  for (const mover of each.movers) {  // of every step; null where it is not known
    const known = mover.centres;
    mover.centres = each.frames.map((_, step) => step % each.every ? null : known[step / each.every]);
  }
}
const momentOf = ({ every }, step) => Math.floor(step / every);  // at which what moves is shown then
const shownStep = (scene, step) => momentOf(scene, step) * scene.every;  // the step that this moment is of
const canvas = $("view");

const embedded = window.name === "easi3r-page";
const answered = embedded && scenes.length < 2;  // the page acts on what is said here of its result
const state = { step: 0, playing: false, view: null, clock: 0, dirty: false, wipe: 0.5, inHand: false, cost: 0 };
const POINT = 18;  // bytes
let gl, splats, lines, film, lineBuffer;
let layers, kept;  // of the picture, and what the first of them shows from where

const tellPage = (kind, about) => parent.postMessage({ easi3r: kind, ...about }, "*");
