// The words on the page, and the first picture.

function describe() {
  $("time").max = lastStep;
  $("play").disabled = $("time").disabled = !lastStep;
  const nothingMoves = !scenes.some(each => each.moving.some(Boolean));
  const missing = { static: !scenes.some(each => each.static), moving: nothingMoves, trail: nothingMoves || !lastStep };
  for (const id in missing) {
    $(id).disabled = missing[id];
    if (missing[id]) press(id, false);
  }
  $("hint").textContent = matchMedia("(pointer: coarse)").matches
    ? "One finger turns, two fingers zoom and move" : "Drag to turn · wheel to zoom · right-drag to move";
  const thinned = `Each shows 1/${scenes.length} of the points that it has in a player of its own.`;
  $("note").textContent = scenes.length < 2
    ? `Reconstructed from a video with “${scene.system}”. The scale is arbitrary: sizes are right relative to each `
      + "other, not in metres."
    : `The same video, reconstructed in ${scenes.length} ways and brought into one world; its scale is arbitrary. `
      + thinned;
  $("wipe").hidden = scenes.length < 2;
  document.documentElement.dataset.scenes = scenes.length;
}

async function start() {
  state.view = { ...scene.opening };
  describe();
  makeFrames();
  wire();
  wireWipe();
  if (!takeUp()) {
    setStep(0);
    setPlaying(false);
  }
  addEventListener("pagehide", keep);
  const say = text => { $("status").textContent = text; document.documentElement.dataset.state = "failed"; };
  gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false });
  if (!gl) return say("This browser cannot draw in 3D: WebGL is missing or switched off. "
                      + "Please try another browser or device.");
  if (!window.DecompressionStream) return say("This browser is too old to unpack the scene. Please use a current one.");
  const rows = await unpackAll();
  const nothing = rows.every(each => !each.length);
  if (nothing) return say("There is nothing to show: no pixel of this video got a usable depth.");
  pointData = rows;
  prepare();
  $("status").hidden = true;
  draw();
  document.documentElement.dataset.state = "ready";
}

start();
