// What an account at Cloudflare holds, and the runtime in which its Worker serves.
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";

const { Miniflare, convertV4MiniflareOptions } = createRequire(`${process.cwd()}/package.json`)("miniflare");

const hex = () => randomUUID().replaceAll("-", "");
const refused = (status, code, message) => ({ status, error: [code, message] });
const NO_WORKER = refused(404, 10007, "This Worker does not exist on your account.");
/** Other files, such as source maps, are not executed. */
const MODULE_TYPES = { "application/wasm": "CompiledWasm", "application/javascript+module": "ESModule" };
const NOWHERE = {
  modules: true,
  script: 'export default { fetch: () => new Response("There is nothing here yet", { status: 404 }) };',
};

/** The statements of a file, each of which ends with a semicolon at the end of a line. */
const statements = (sql) =>
  sql
    .replaceAll(/^\s*--.*$/gm, "")
    .split(/;\s*(?:--.*)?$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");

export class Account {
  namespaces = [];
  databases = [];
  /** By name: { tag, migrationTag, versions, current, crons, update }. */
  workers = new Map();
  assets = new Set();
  /** How often a version began to serve. */
  deployed = 0;

  constructor({ state, subdomain }) {
    this.state = state;
    this.name = subdomain;
    this.served = NOWHERE;
  }

  /** The runtime, from its first use on. */
  runtime() {
    this.miniflare ??= new Miniflare(this.options());
    return this.miniflare;
  }

  options() {
    const databases = Object.fromEntries(this.databases.map(({ uuid }) => [`D1_${uuid}`, uuid]));
    return convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      resourcePersistencePath: this.state,
      workers: [
        { name: "served", compatibilityDate: "2026-10-01", ...this.served },
        { name: "api", ...NOWHERE, d1Databases: databases },
      ],
    });
  }

  async restart() {
    if (this.miniflare) await this.miniflare.setOptions(this.options());
  }

  async dispose() {
    await this.miniflare?.dispose();
  }

  summary() {
    const workers = [...this.workers].map(([name, { current, crons, update }]) => ({
      name,
      crons,
      update,
      bindings: Object.fromEntries(current.bindings.map(({ name, ...binding }) => [name, binding])),
    }));
    return { namespaces: this.namespaces, databases: this.databases, workers, deployed: this.deployed };
  }

  // KV and D1

  createNamespace(title) {
    if (this.namespaces.some((namespace) => namespace.title === title)) {
      return refused(400, 10014, "create namespace: 'a namespace with this account ID and title already exists'");
    }
    const namespace = { id: hex(), title, supports_url_encoding: true };
    this.namespaces.push(namespace);
    return { result: namespace };
  }

  createDatabase({ name, jurisdiction = null }) {
    if (this.databases.some((database) => database.name === name)) {
      return refused(400, 7502, `Database with name '${name}' already exists`);
    }
    const database = { uuid: randomUUID(), name, jurisdiction, version: "production", num_tables: 0, file_size: 12288 };
    this.databases.push({ ...database, created_at: new Date().toISOString() });
    return this.restart().then(() => ({ result: database }));
  }

  database(id) {
    const found = this.databases.find(({ uuid, name }) => uuid === id || name === id);
    return found ? { result: found } : refused(404, 7404, `The database ${id} could not be found`);
  }

  /** All statements, or none of them, as D1 does. */
  async query(id, sql) {
    if (!this.databases.some(({ uuid }) => uuid === id)) return this.database(id);
    const database = await this.runtime().getD1Database(`D1_${id}`, "api");
    try {
      const results = await database.batch(statements(sql).map((statement) => database.prepare(statement)));
      return { result: results.map(({ results, success, meta }) => ({ results, success, meta })) };
    } catch (error) {
      return refused(400, 7500, error.message.replace("D1_ERROR: ", ""));
    }
  }

  // The Worker

  secrets(script) {
    const worker = this.workers.get(script);
    if (!worker) return NO_WORKER;
    const secrets = worker.current.bindings.filter(({ type }) => type === "secret_text");
    return { result: secrets.map(({ name, type }) => ({ name, type })) };
  }

  service(script) {
    const worker = this.workers.get(script);
    if (!worker) return refused(404, 10090, "workers.api.error.service_not_found");
    const { tag, migrationTag: migration_tag } = worker;
    const description = { id: script, tag, tags: [], last_deployed_from: "wrangler", migration_tag };
    return { result: { id: script, default_environment: { environment: "production", script: description } } };
  }

  subdomain() {
    return this.name ? { result: { subdomain: this.name } } : refused(404, 10007, "There is no workers.dev subdomain");
  }

  worker(script) {
    const id = this.workers.get(script)?.tag;
    return id ? { result: { id, name: script, subdomain: { enabled: true, previews_enabled: false } } } : NO_WORKER;
  }

  deployments(script) {
    const worker = this.workers.get(script);
    if (!worker) return NO_WORKER;
    const versions = [{ version_id: worker.current.id, percentage: 100 }];
    return { result: { deployments: [{ id: randomUUID(), source: "wrangler", strategy: "percentage", versions }] } };
  }

  settings(script) {
    const worker = this.workers.get(script);
    if (!worker) return NO_WORKER;
    const shown = ({ type, text, ...rest }) => (type === "secret_text" ? { type, ...rest } : { type, text, ...rest });
    return { result: { bindings: worker.current.bindings.map(shown) } };
  }

  schedule(script, schedules) {
    const worker = this.workers.get(script);
    if (!worker) return NO_WORKER;
    worker.crons = schedules.map(({ cron }) => cron);
    return { result: { schedules } };
  }

  // The first time all files are asked for, and later those that are new.
  beginAssets({ manifest }) {
    const hashes = new Set(Object.values(manifest).map(({ hash }) => hash));
    const missing = [...hashes].filter((hash) => !this.assets.has(hash));
    return { result: { jwt: this.jwt(), buckets: missing.length > 0 ? [missing] : [] } };
  }

  async uploadAssets(form) {
    for (const hash of form.keys()) this.assets.add(hash);
    return { status: 201, result: { jwt: this.jwt() } };
  }

  /** Wrangler reads when it expires. */
  jwt() {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    return `${part({ alg: "none" })}.${part({ exp: Math.floor(Date.now() / 1000) + 3600 })}.`;
  }

  async upload(script, form) {
    const version = await this.read(script, form);
    if (version.error) return version;
    const worker = this.workers.get(script) ?? { tag: hex(), versions: [], crons: [] };
    this.workers.set(script, worker);
    worker.migrationTag = version.migrations?.new_tag ?? worker.migrationTag;
    worker.versions.push(version);
    worker.update = version.update;
    await this.serve(worker, version);
    const deployment_id = version.id.replaceAll("-", "");
    return { result: { id: script, tag: worker.tag, etag: hex(), deployment_id, startup_time_ms: 5 } };
  }

  async addVersion(script, form) {
    const worker = this.workers.get(script);
    if (!worker) return NO_WORKER;
    const version = await this.read(script, form);
    if (version.error) return version;
    worker.versions.push(version);
    return { result: { id: version.id, startup_time_ms: 5, resources: { script: { etag: hex() } } } };
  }

  async deploy(script, { versions, code_update_strategy: update }) {
    const worker = this.workers.get(script);
    const version = worker?.versions.find(({ id }) => id === versions[0].version_id);
    if (!version) return refused(404, 10007, "This version does not exist.");
    worker.update = update;
    await this.serve(worker, version);
    return { result: { id: randomUUID() } };
  }

  /** A version from an upload: its modules, and its bindings with those that are inherited. */
  async read(script, form) {
    const metadata = JSON.parse(form.get("metadata"));
    const before = this.workers.get(script)?.current.bindings ?? [];
    const bindings = [];
    for (const binding of metadata.bindings) {
      const found = binding.type === "inherit" ? before.find(({ name }) => name === binding.name) : binding;
      if (!found) return refused(400, 10057, `inherit binding '${binding.name}' is invalid: there is none to inherit`);
      bindings.push(found);
    }
    for (const { type, id, namespace_id } of bindings) {
      const isLost =
        (type === "kv_namespace" && !this.namespaces.some((namespace) => namespace.id === namespace_id)) ||
        (type === "d1" && !this.databases.some(({ uuid }) => uuid === id));
      if (isLost) return refused(400, 10041, `${type} '${namespace_id ?? id}' is not there.`);
    }
    const { keep_bindings: kept = [] } = metadata;
    const isNew = ({ name }) => bindings.some((binding) => binding.name === name);
    bindings.push(...before.filter((binding) => kept.includes(binding.type) && !isNew(binding)));
    const modules = [];
    for (const [name, file] of form) {
      const type = MODULE_TYPES[file.type];
      if (type) modules.push({ path: join("/", name), type, contents: Buffer.from(await file.arrayBuffer()) });
    }
    const main = join("/", metadata.main_module);
    modules.sort((one, other) => (other.path === main) - (one.path === main));
    const { migrations, compatibility_flags: flags, compatibility_date: date, code_update_strategy: update } = metadata;
    return { id: randomUUID(), bindings, modules, migrations, flags, date, update };
  }

  async serve(worker, version) {
    const of = (type) => version.bindings.filter((binding) => binding.type === type);
    const texts = [...of("plain_text"), ...of("secret_text")];
    this.served = {
      compatibilityDate: version.date,
      compatibilityFlags: version.flags,
      modulesRoot: "/",
      modules: version.modules,
      bindings: Object.fromEntries(texts.map(({ name, text }) => [name, text])),
      kvNamespaces: Object.fromEntries(of("kv_namespace").map(({ name, namespace_id }) => [name, namespace_id])),
      d1Databases: Object.fromEntries(of("d1").map(({ name, id }) => [name, id])),
      durableObjects: Object.fromEntries(
        of("durable_object_namespace").map(({ name, class_name }) => [name, { className: class_name, useSQLite: true }]),
      ),
    };
    worker.current = version;
    this.deployed += 1;
    await this.restart();
  }

  fetch(url, { method, headers }, body) {
    // Those of the connection are not the caller's.
    const { host, connection, "content-length": length, "transfer-encoding": encoding, ...rest } = headers;
    return this.runtime().dispatchFetch(`http://127.0.0.1${url.pathname}${url.search}`, {
      method,
      headers: { "CF-Connecting-IP": "203.0.113.1", ...rest },
      body: body.length > 0 ? body : undefined,
    });
  }
}
