// What the colours of the scene stand for, and the line that says so.

const RAMPS = {  // sRGB of the least, the middle and the most
  seen: [[70, 130, 255], [225, 80, 200], [255, 160, 50]],  // as the camera's path
  confidence: [[72, 20, 95], [33, 145, 140], [250, 230, 60]],
  motion: [[62, 78, 120], [215, 70, 95], [255, 225, 120]],
};
const CHANNELS = ["picture", "seen", "confidence", "motion"];  // by their numbers in the shader
const NUMBERS = 4;  // there: the point's own number as a colour

const paint = () => $("paint").value;

function timeColour(step, alpha) {  // blue at the start of the clip, over magenta, to orange at its end
  const at = 2 * step / Math.max(lastStep, 1), first = Math.min(Math.floor(at), 1), stops = RAMPS.seen;
  return [...stops[first].map((value, k) => (value + (at - first) * (stops[first + 1][k] - value)) / 255), alpha];
}

function useColours(channel = CHANNELS.indexOf(paint())) {
  gl.uniform1i(splats.channel, channel);
  const stops = RAMPS[CHANNELS[channel]];
  if (stops) gl.uniform3fv(splats["ramp[0]"], stops.flat().map(value => value / 255));
}

function useMoment(step) {
  gl.uniform1f(splats.moment, step / Math.max(lastStep, 1));
}

function showLegend() {
  const last = scene.frames[lastStep].time - scene.frames[0].time, [low, high] = scene.sure;
  const ends = {
    seen: ["first seen at 0 s", `at ${last.toFixed(1)} s`],
    confidence: scenes.length < 2 ? [`unsure (${low})`, `sure (${high})`] : ["unsure", "sure"],
    motion: ["stands still (0)", "moves (1)"],
  }[paint()];
  $("legend").hidden = !ends;
  if (!ends) return;
  const [from, to] = $("legend").querySelectorAll("span");
  [from.textContent, to.textContent] = ends;
  const stops = RAMPS[paint()].map(stop => `rgb(${stop})`);
  $("legend").querySelector("i").style.background = `linear-gradient(to right, ${stops})`;
}

function wireColours() {
  $("paint").onchange = () => { showLegend(); redraw(); };
}
