// The words on the page, and the first picture.

function describe() {
  $("time").max = lastStep;
  $("play").disabled = $("time").disabled = !lastStep;
  const nothingMoves = !scenes.some(each => each.moving.flat().some(Boolean));
  const missing = { static: !scenes.some(each => each.stillCount), moving: nothingMoves,
                    trail: nothingMoves || !lastStep };
  for (const id in missing) {
    $(id).disabled = missing[id];
    if (missing[id]) press(id, false);
  }
  say(matchMedia("(pointer: coarse)").matches
    ? "One finger turns, two fingers zoom and move" : "Drag to turn · wheel to zoom · right-drag to move", Infinity);
  const several = scenes.length > 1;
  $("made").textContent = !several ? `Reconstructed from a video with “${scene.system}”.`
    : `The same video, reconstructed in ${scenes.length} ways and brought into one world. `
      + `Each shows 1/${scenes.length} of the points that it has in a player of its own.`;
  const thinned = Math.max(...scenes.map(each => each.thinned));
  $("thinned").textContent = several || thinned < 1.15 ? ""
    : `Thinned to one point of ${thinned.toFixed(1)}, to stay a small file.`;
  const every = Math.max(...scenes.map(each => each.every));
  $("every").textContent = every > 1 ? `what moves: every ${ordinal(every)} frame` : "";
  describeScale();
  if (several) Object.assign($("wipe"), { textContent: "Wipe between two",
    title: "Lay two on top of each other and drag the line between them (key W)" });
  document.documentElement.dataset.scenes = scenes.length;
}

const ordinal = n => n + (["th", "st", "nd", "rd"][Math.floor(n / 10) % 10 === 1 ? 0 : n % 10] ?? "th");

function describeScale() {
  $("scale").textContent = metres ? "In metres, from the length that you gave (in this window only)."
    : scene.scale ? `In ${scene.scale.unit === "m" ? "metres" : scene.scale.unit}, from ${scene.scale.from}.`
    : "The scale is arbitrary: sizes are right relative to each other, not in metres.";
}

function say(text, milliseconds = 6000) {  // for a while, over the scene
  $("hint").textContent = text;
  $("hint").style.opacity = text ? 1 : 0;
  clearTimeout(say.timer);
  if (milliseconds < Infinity) say.timer = setTimeout(() => { $("hint").style.opacity = 0; }, milliseconds);
}

async function start() {
  state.view = { ...scene.opening };
  describe();
  makeFrames();
  wire();
  wirePath();
  wireWipe();
  wireFilmed();
  wireColours();
  wirePointing();
  wireRuler();
  makeChips();
  if (!takeUp()) {
    setStep(0);
    setPlaying(false);
  }
  addEventListener("pagehide", keep);
  const fail = text => { $("status").textContent = text; document.documentElement.dataset.state = "failed"; };
  gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false });
  if (!gl) return fail("This browser cannot draw in 3D: WebGL is missing or switched off. "
                      + "Please try another browser or device.");
  if (!window.DecompressionStream) {
    return fail("This browser is too old to unpack the scene. Please use a current one.");
  }
  await unpackFirst();
  const nothing = scenes.every(each => !each.stillCount && !each.moving.flat().some(Boolean));
  if (nothing) return fail("There is nothing to show: no pixel of this video got a usable depth.");
  prepare();
  $("status").hidden = true;
  draw();
  document.documentElement.dataset.state = "ready";
}

start();
