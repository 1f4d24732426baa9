// Time.

const icon = playing => playing ? "M4 3h4v14H4zM12 3h4v14h-4z" : "M5 2.5v15l12.5-7.5z";

function setStep(step) {
  state.step = Math.max(0, Math.min(lastStep, step));
  $("time").value = state.step;
  const seconds = scene.frames[state.step].time - scene.frames[0].time;
  $("clock").textContent = `${seconds.toFixed(2)} s · ${state.step + 1} / ${lastStep + 1}`;
  redraw();
}

function setPlaying(playing) {
  state.playing = playing && lastStep > 0;
  $("play").setAttribute("aria-label", state.playing ? "Pause" : "Play");
  $("play").querySelector("path").setAttribute("d", icon(state.playing));
  state.clock = performance.now();
  if (state.playing) requestAnimationFrame(tick);
}

function tick(now) {
  if (!state.playing) return;
  const duration = 1000 / (scene.fps * $("speed").value), steps = Math.floor((now - state.clock) / duration);
  if (steps > 0) {
    state.clock = steps > 4 ? now : state.clock + steps * duration;  // after a pause of the browser go on, do not jump
    setStep((state.step + Math.min(steps, 4)) % (lastStep + 1));
  }
  requestAnimationFrame(tick);
}
