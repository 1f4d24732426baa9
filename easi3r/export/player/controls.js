// Mouse, touch, buttons and keyboard.

const limit = (value, least, most) => Math.max(least, Math.min(most, value));

function rotate(dx, dy) {
  state.view.yaw += 0.006 * dx;
  state.view.pitch = limit(state.view.pitch + 0.006 * dy, -1.55, 1.55);
}

function pan(dx, dy) {
  const { right, down } = axes(state.view), density = canvas.width / canvas.clientWidth;
  const length = density * state.view.away / focalOfOrbit(cells()[0]);  // of one pixel at the target
  state.view.target = add(add(state.view.target, right, -dx * length), down, -dy * length);
}

function zoom(factor) {
  state.view.away = limit(state.view.away * factor, 0.03 * scene.distance, 12 * scene.distance);
}

const fingers = new Map();  // pointer id -> last place

function middleAndSpread() {
  const all = [...fingers.values()], mean = key => all.reduce((sum, at) => sum + at[key], 0) / all.length;
  const x = mean("x"), y = mean("y");
  return { x, y, spread: Math.max(Math.hypot(all[0].x - x, all[0].y - y), 1) };
}

const SHAKES = 6;  // CSS pixels that a click may move by
let down = null;  // where the first finger came down, as long as it may become a click

canvas.addEventListener("pointerdown", event => {
  canvas.setPointerCapture(event.pointerId);
  canvas.classList.add("held");
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  down = fingers.size < 2 && event.button === 0 ? { x: event.clientX, y: event.clientY } : null;
});
canvas.addEventListener("pointermove", event => {
  if (!fingers.has(event.pointerId)) return;
  if (down && Math.hypot(event.clientX - down.x, event.clientY - down.y) < SHAKES && pointing()) return;
  down = null;
  if (filmOver()) return lineTo(event);  // there is no other view of the film
  leaveCamera();
  const before = middleAndSpread();
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  const after = middleAndSpread(), dx = after.x - before.x, dy = after.y - before.y;
  if (fingers.size > 1) { pan(dx, dy); zoom(before.spread / after.spread); }
  else if (event.shiftKey || event.buttons & 6) pan(dx, dy);
  else rotate(dx, dy);
  moved();
});
for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, event => {
    fingers.delete(event.pointerId);
    if (down && name === "pointerup") clicked(down.x, down.y);
    down = null;
    if (!fingers.size) canvas.classList.remove("held");
  });
}
canvas.addEventListener("contextmenu", event => event.preventDefault());
canvas.addEventListener("wheel", event => {
  event.preventDefault();
  if (filmOver()) return;
  leaveCamera();
  zoom(Math.exp(limit(event.deltaY * (event.deltaMode ? 30 : 1), -240, 240) * 0.0012));
  moved();
}, { passive: false });

const pressed = id => $(id).getAttribute("aria-pressed") === "true";

function press(id, on = !pressed(id)) {
  if (id === "through" && on) leavePath();
  $(id).setAttribute("aria-pressed", on);
  if (filmOver() && !pressed("through")) {  // the film is seen from its own camera only
    if (id === "through") press("wipe", false);
    else press("through", true);
  }
  rest();
}

function reset() {
  leavePath();
  state.view = { ...scene.opening };
  press("through", false);
}

function wire() {
  for (const id of ["static", "moving", "trail", "path", "through", "filmed"]) $(id).onclick = () => press(id);
  $("wipe").onclick = toggleWipe;
  for (const id of ["dots", "ground"]) $(id).oninput = redraw;
  $("play").onclick = () => setPlaying(!state.playing);
  $("time").oninput = () => { setPlaying(false); setStep(Number($("time").value)); };
  $("reset").onclick = reset;
  $("more").onclick = () => {
    const open = $("more").getAttribute("aria-expanded") === "false";
    $("more").setAttribute("aria-expanded", open);
    $("more").textContent = open ? "Less" : "More";
    $("rest").hidden = !open;
  };
  const nudge = (turn, ...by) => () => { leaveCamera(); turn(...by); moved(); };
  const keys = {
    " ": () => flight.open ? setFlying(!flight.playing) : setPlaying(!state.playing),
    r: reset, c: () => press("through"), w: toggleWipe, Enter: clickMiddle,
    ArrowRight: () => { setPlaying(false); setStep(state.step + 1); },
    ArrowLeft: () => { setPlaying(false); setStep(state.step - 1); },
    "+": nudge(zoom, 0.9), "-": nudge(zoom, 1 / 0.9),
    "shift ArrowLeft": nudge(rotate, -16, 0), "shift ArrowRight": nudge(rotate, 16, 0),
    "shift ArrowUp": nudge(rotate, 0, -16), "shift ArrowDown": nudge(rotate, 0, 16),
  };
  addEventListener("keydown", event => {
    const other = event.target.matches("select, input, button") && event.target.id !== "time";  // has keys of its own
    const key = event.key.length > 1 ? event.key : event.key.toLowerCase();
    const act = keys[event.shiftKey && key.startsWith("Arrow") ? "shift " + key : key];
    if (event.key === "Escape") $("offer").hidden = true;
    if (!act || event.ctrlKey || event.metaKey || event.altKey || other) return;
    event.preventDefault();
    act();
  });
  for (const name of ["pointerdown", "keydown", "wheel"]) {
    addEventListener(name, () => { $("hint").style.opacity = 0; }, { once: true });
  }
  addEventListener("click", event => {  // a button that was clicked does not keep the space bar for itself
    if (event.detail && !event.target.closest("#offer")) event.target.closest("button")?.blur();
  });
  new ResizeObserver(redraw).observe(canvas);
  canvas.addEventListener("webglcontextlost", event => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => { prepare(); redraw(); });
}
