// In our page, a scene that replaces another one of the same run is seen from where that one was seen.

const ours = embedded && window.frameElement;  // the page itself is then at hand
const BUTTONS = ["static", "moving", "trail", "path", "filmed", "through", "wipe"];
const FIELDS = ["paint", "speed", "dots", "ground"];

function keep() {
  if (!ours) return;
  const buttons = Object.fromEntries(BUTTONS.map(id => [id, pressed(id)]));
  const fields = Object.fromEntries(FIELDS.map(id => [id, $(id).value]));
  const { view, step, playing, wipe } = state, { distance } = scene, scale = JSON.stringify(scene.scale);
  const open = !$("rest").hidden, measures = pressed("measure"), path = keptPath();
  parent.easi3rKept = { number: ours.dataset.number, view, step, playing, wipe, buttons, fields, open, measures, ends,
                        path, distance, scale };
}

function takeUp() {  // whether there was one
  const kept = ours && parent.easi3rKept;
  if (!kept || !ours.dataset.number || kept.number !== ours.dataset.number) return false;
  const grown = kept.scale === JSON.stringify(scene.scale) ? 1 : scene.distance / kept.distance;  // by a size given
  const larger = place => place.map(value => grown * value);
  state.view = { ...kept.view, target: larger(kept.view.target), away: grown * kept.view.away };
  state.wipe = kept.wipe;
  for (const id in kept.fields) $(id).value = kept.fields[id];
  for (const id in kept.buttons) if (!$(id).disabled) press(id, kept.buttons[id]);
  if (kept.open) $("more").click();
  if (kept.measures) $("measure").click();
  ends = kept.ends.map(larger);
  takeUpPath(kept.path, larger);
  showLegend();
  showLength();
  setStep(kept.step);
  setPlaying(kept.playing);
  return true;
}
