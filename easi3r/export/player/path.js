// A camera move: views that the camera passes, the way between them, ready-made moves, and the file of it.
// A view: place of the eye, turn (unit quaternion x, y, z, w of the camera's axes), focal (in halves of the picture's
// height, so that it is in proportion to the size of what is seen).

const PICTURE = scene.size[0] < scene.size[1] ? [720, 1280] : [1280, 720];  // pixels of the video
const ASPECT = PICTURE[0] / PICTURE[1], RATE = 24, MOST_VIEWS = 50, LONGEST = 60;
const FOVS = [2, 160], focalOf = fov => 1 / Math.tan(fov * Math.PI / 360);  // degrees
const fovOf = focal => Math.atan(1 / focal) * 360 / Math.PI;

const normed = v => v.map(value => value / Math.hypot(...v));
const mean = (a, b, share) => a.map((value, k) => value + share * (b[k] - value));

function turnOf({ right, down, forward }) {  // from 4 q q', of which the row with the largest root is q without fault
  const [xx, yy, zz] = [right[0], down[1], forward[2]];
  const xy = right[1] + down[0], xz = right[2] + forward[0], yz = down[2] + forward[1];
  const xw = down[2] - forward[1], yw = forward[0] - right[2], zw = right[1] - down[0];
  const rows = [[1 + xx - yy - zz, xy, xz, xw], [xy, 1 - xx + yy - zz, yz, yw],
                [xz, yz, 1 - xx - yy + zz, zw], [xw, yw, zw, 1 + xx + yy + zz]];
  return normed(rows.reduce((best, row, k) => row[k] > best.at ? { at: row[k], row } : best, { at: 0 }).row);
}

function axesOf([x, y, z, w]) {
  return { right: [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)],
           down: [2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)],
           forward: [2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)] };
}

function viewAt(eye, target, down, focal) {  // from the eye to the target, upright where `down` is down
  const forward = normed(add(target, eye, -1)), right = normed(cross(down, forward));
  return { place: eye, turn: turnOf({ right, down: cross(forward, right), forward }), focal };
}

function framed([across, upright]) {  // tangents of half the field of a video that shows all of this field
  const tangent = Math.max(upright, across / ASPECT);
  return [tangent * ASPECT, tangent];
}

function filmedField(step) {
  const [fx, fy] = scene.frames[step].lens;
  return [scene.size[0] / 2 / fx, scene.size[1] / 2 / fy];
}

function fieldNow() {
  if (flight.view) return [ASPECT / flight.view.focal, 1 / flight.view.focal];
  return pressed("through") ? filmedField(state.step) : state.view.field;
}

function viewNow() {
  if (flight.view) return flight.view;
  const camera = pressed("through") ? solvedCamera(scene, state.step) : axes(state.view);
  const place = camera.eye ?? add(state.view.target, camera.forward, -state.view.away);
  return { place, turn: turnOf(camera), focal: 1 / framed(fieldNow())[1] };
}

// ---- between the views

function spline(rows, share) {  // Catmull-Rom through rows of numbers, each as long on the way as the next
  const last = rows.length - 1, at = share * last, k = Math.min(Math.floor(at), last - 1), s = at - k;
  const slope = j => j === 0 ? add(rows[1], rows[0], -1) : j === last ? add(rows[last], rows[last - 1], -1)
    : add(rows[j + 1], rows[j - 1], -1).map(value => value / 2);
  const [p, q, m, n] = [rows[k], rows[k + 1], slope(k), slope(k + 1)];
  const weights = [2 * s ** 3 - 3 * s * s + 1, 3 * s * s - 2 * s ** 3, s ** 3 - 2 * s * s + s, s ** 3 - s * s];
  return p.map((value, j) => weights[0] * value + weights[1] * q[j] + weights[2] * m[j] + weights[3] * n[j]);
}

function between(views, share) {
  let before = views[0].turn;
  const rows = views.map(({ place, turn, focal }) => {  // q and -q are one turn; neighbours are to be close
    before = before.reduce((sum, value, k) => sum + value * turn[k], 0) < 0 ? turn.map(value => -value) : turn;
    return [...place, ...before, focal];
  });
  const row = spline(rows, share);
  return { place: row.slice(0, 3), turn: normed(row.slice(3, 7)),
           focal: limit(row[7], focalOf(FOVS[1]), focalOf(FOVS[0])) };
}

// ---- ready-made moves

const ARC = 22 * Math.PI / 180;  // to either side; farther round, most of what is seen was filmed by nobody
const BEHIND = 0.1, ABOVE = 0.1;  // of the distance of who is followed, from the camera that filmed
const CLOSER = 1.3;  // than its lens: else a third of the picture is beside what was filmed
const FAR_TO_NEAR = [1.2, 0.6];  // of the distance of what a dolly zoom keeps at its size

function orbit() {
  const { target, away, yaw, pitch, field } = scene.opening;
  return [-1, -0.5, 0, 0.5, 1].map(side => {
    const { down, forward } = axes({ yaw: yaw + side * ARC, pitch });
    return viewAt(add(target, forward, -away), target, down, 1 / framed(field)[1]);
  });
}

function dollyZoom() {  // of what the visitor's own view has in the middle
  const { target, away, field } = state.view, camera = axes(state.view), turn = turnOf(camera);
  return FAR_TO_NEAR.map(share => ({ place: add(target, camera.forward, -share * away), turn,
                                     focal: share / framed(field)[1] }));
}

const followed = () => scene.movers?.find(({ centres }) => centres.some(Boolean));  // the largest is the first

function followMover() {
  const { centres } = followed(), known = centres.flatMap((place, step) => place ? [step] : []);
  const centre = step => {  // between the moments that show it
    const before = known.findLast(each => each <= step) ?? known[0], after = known.find(each => each >= step) ?? before;
    return mean(centres[before], centres[after], after > before ? (step - before) / (after - before) : 0);
  };
  const count = limit(lastStep + 1, 2, 9);
  const rows = Array.from({ length: count }, (_, k) => {
    const step = Math.round(k / (count - 1) * lastStep), { eye, down } = solvedCamera(scene, step);
    const target = centre(step), away = Math.hypot(...add(target, eye, -1));
    const behind = add(eye, add(eye, target, -1), BEHIND);
    return [...add(behind, down, -ABOVE * away), ...target, ...down, CLOSER / framed(filmedField(step))[1]];
  });
  const calm = rows.map((row, k) => {  // without the shaking of a hand, and of a mover's middle
    const [before, after] = [rows[Math.max(k - 1, 0)], rows[Math.min(k + 1, count - 1)]];
    return row.map((value, j) => (before[j] + 2 * value + after[j]) / 4);
  });
  return calm.map(row => viewAt(row.slice(0, 3), row.slice(3, 6), row.slice(6, 9), row[9]));
}

// ---- the file, as nerfstudio has it: cameras have x right, y up, z backward

const exact = value => Number(value.toFixed(7));

function matrixOf({ place, turn }) {
  const { right, down, forward } = axesOf(turn);
  return [0, 1, 2].flatMap(k => [right[k], -down[k], -forward[k], place[k]].map(exact)).concat(0, 0, 0, 1);
}

function documentOf(views, seconds) {
  const count = Math.max(2, Math.round(seconds * RATE)), shares = number => k => k / (number - 1);
  const entry = (view, share, name) => ({ [name]: matrixOf(view), fov: exact(fovOf(view.focal)), aspect: exact(ASPECT),
                                          render_time: exact(share) });
  const list = (number, make) => Array.from({ length: number }, (_, k) => make(k, shares(number)(k)));
  return {
    camera_type: "perspective", render_height: PICTURE[1], render_width: PICTURE[0], fps: RATE, seconds,
    is_cycle: false, smoothness_value: 0,
    keyframes: list(views.length, (k, share) => entry(views[k], share, "matrix")),
    camera_path: list(count, (k, share) => entry(between(views, share), share, "camera_to_world")),
  };
}

function viewOf(entry) {  // null if it is none
  const m = (entry?.matrix ?? entry?.camera_to_world)?.flat?.(), fov = entry?.fov;
  if (!Array.isArray(m) || m.length !== 16 || ![...m, fov].every(Number.isFinite)) return null;
  const [right, up, backward, place] = [0, 1, 2, 3].map(column => [m[column], m[column + 4], m[column + 8]]);
  const sound = [right, up, backward].every(axis => Math.abs(Math.hypot(...axis) - 1) < 0.01)
    && dot(cross(right, up), backward) > 0.98;
  const [down, forward] = [up, backward].map(axis => axis.map(value => -value));
  return sound ? { place, turn: turnOf({ right, down, forward }), focal: focalOf(limit(fov, ...FOVS)) } : null;
}

function readDocument(text) {  // { views, seconds, notes: sentences on what is not kept }, or { why } if it is none
  let about;
  try { about = JSON.parse(text); } catch { about = null; }
  const kind = about?.camera_type ?? "perspective";
  if (kind !== "perspective") return { why: `has cameras of the kind “${kind}”; only perspective can be shown.` };
  const some = ["keyframes", "camera_path"].map(name => about?.[name]).filter(Array.isArray)
    .find(entries => entries.length > 1 && entries.every(viewOf));
  if (!some) return { why: "is no camera path; take one that was downloaded here, or from nerfstudio." };
  const closed = about.is_cycle === true && some === about.keyframes ? [...some, some[0]] : some;
  const count = Math.min(closed.length, MOST_VIEWS), long = Number(about.seconds) > LONGEST;
  const taken = Array.from({ length: count }, (_, k) => closed[Math.round(k * (closed.length - 1) / (count - 1))]);
  const timed = ({ render_time: time }, k) => Math.abs((time ?? k / (some.length - 1)) - k / (some.length - 1)) > 0.02;
  const notes = [
    some.some(timed) && "The clip plays evenly along them; easi3r render keeps the moments that the file names.",
    long && `The move is cut to ${LONGEST} seconds.`,
  ];
  return { views: taken.map(viewOf), seconds: limit(Number(about.seconds) || 5, 1, LONGEST),
           notes: notes.filter(Boolean) };
}
