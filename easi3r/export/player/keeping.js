// In our page, a scene that replaces another one of the same run is seen from where that one was seen.

const ours = window.name === "easi3r-page" && window.frameElement;  // the page itself is then at hand

function keep() {
  if (!ours) return;
  const buttons = Object.fromEntries(["static", "moving", "trail", "path", "through"].map(id => [id, pressed(id)]));
  parent.easi3rKept = { number: ours.dataset.number, view: state.view, step: state.step, playing: state.playing, buttons };
}

function takeUp() {  // whether there was one
  const kept = ours && parent.easi3rKept;
  if (!kept || !ours.dataset.number || kept.number !== ours.dataset.number) return false;
  state.view = kept.view;
  for (const id in kept.buttons) if (!$(id).disabled) press(id, kept.buttons[id]);
  setStep(kept.step);
  setPlaying(kept.playing);
  return true;
}
