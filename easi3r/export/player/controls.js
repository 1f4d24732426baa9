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

canvas.addEventListener("pointerdown", event => {
  canvas.setPointerCapture(event.pointerId);
  canvas.classList.add("held");
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
});
canvas.addEventListener("pointermove", event => {
  if (!fingers.has(event.pointerId)) return;
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
    if (!fingers.size) canvas.classList.remove("held");
  });
}
canvas.addEventListener("contextmenu", event => event.preventDefault());
canvas.addEventListener("wheel", event => {
  event.preventDefault();
  leaveCamera();
  zoom(Math.exp(limit(event.deltaY * (event.deltaMode ? 30 : 1), -240, 240) * 0.0012));
  moved();
}, { passive: false });

const pressed = id => $(id).getAttribute("aria-pressed") === "true";

function press(id, on = !pressed(id)) {
  $(id).setAttribute("aria-pressed", on);
  rest();
}

function reset() {
  state.view = { ...scene.opening };
  press("through", false);
}

function wire() {
  for (const id of ["static", "moving", "trail", "path", "through", "wipe"]) $(id).onclick = () => press(id);
  for (const id of ["dots", "ground"]) $(id).oninput = redraw;
  $("play").onclick = () => setPlaying(!state.playing);
  $("time").oninput = () => { setPlaying(false); setStep(Number($("time").value)); };
  $("reset").onclick = reset;
  $("more").onclick = () => {
    const open = $("more").getAttribute("aria-expanded") === "false";
    $("more").setAttribute("aria-expanded", open);
    $("more").textContent = open ? "Less" : "More";
  };
  const keys = { " ": () => setPlaying(!state.playing), r: reset, c: () => press("through"),
                 w: () => scenes.length > 1 && press("wipe"),
                 ArrowRight: () => { setPlaying(false); setStep(state.step + 1); },
                 ArrowLeft: () => { setPlaying(false); setStep(state.step - 1); } };
  addEventListener("keydown", event => {
    const other = event.target.matches("select, input, button") && event.target.id !== "time";  // has keys of its own
    const act = keys[event.key.length > 1 ? event.key : event.key.toLowerCase()];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || other) return;
    event.preventDefault();
    act();
  });
  for (const name of ["pointerdown", "keydown", "wheel"]) {
    addEventListener(name, () => { $("hint").style.opacity = 0; }, { once: true });
  }
  addEventListener("click", event => {  // a button that was clicked does not keep the space bar for itself
    if (event.detail) event.target.closest("button")?.blur();
  });
  new ResizeObserver(redraw).observe(canvas);
  canvas.addEventListener("webglcontextlost", event => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => { prepare(); redraw(); });
}
