// The Worker as it ships, with a dataset of Workers Analytics Engine, which the local runtime does not have.
// `GET /__metrics` gives the data points that were written. A dataset refuses what is beyond its limits
// (https://developers.cloudflare.com/analytics/analytics-engine/limits/), and silently drops what has two indexes.
import Edge from "./front.mjs";

export { Organization } from "./front.mjs";

const points = [];

const isText = (value) => typeof value === "string";
const METRICS = {
  writeDataPoint(point) {
    const { indexes, blobs, doubles } = point;
    if (indexes.length !== 1 || !isText(indexes[0]) || indexes[0].length > 96) throw new Error("a wrong index");
    if (blobs.length > 20 || !blobs.every(isText)) throw new Error("wrong blobs");
    if (doubles.length > 20 || !doubles.every(Number.isFinite)) throw new Error("wrong doubles");
    points.push(point);
  },
};

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/__metrics") return Response.json(points);
    return Edge.fetch(request, { ...env, METRICS }, ctx);
  },
  scheduled: (controller, env, ctx) => Edge.scheduled(controller, env, ctx),
};
