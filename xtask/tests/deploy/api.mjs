// Which of wrangler's calls is what of the account. Beside each stands the function of wrangler's source that makes it.

const json = (body) => JSON.parse(body.toString() || "{}");

/** A page of a list, as `fetchPagedListResult` and the SDK read it. */
function page(entries, query) {
  const perPage = Number(query.get("per_page") ?? 20);
  const number = Number(query.get("page") ?? 1);
  const result = entries.slice((number - 1) * perPage, number * perPage);
  const info = { page: number, per_page: perPage, count: result.length, total_count: entries.length };
  return { result, result_info: info };
}

/** The name of a call, without ids, and what it does. */
export function api(account, request, path, query, body) {
  const [, rest = path] = /^\/accounts\/[^/]+(\/.*)$/.exec(path) ?? [];
  const form = () => new Response(body, { headers: { "Content-Type": request.headers["content-type"] } }).formData();
  const routes = [
    // getTokenType, getEmail, fetchAllAccounts: what wrangler says of a login that was refused.
    ["GET", /^\/user\/tokens\/verify$/, () => ({ result: { id: "0", status: "active" } })],
    ["GET", /^\/user$/, () => ({ result: { id: "0", email: "operator@example.com" } })],
    ["GET", /^\/(accounts|memberships)$/, () => page([], query)],
    // fetchSecrets: `secret list`, and checkRemoteSecretsOverride before a deployment.
    ["GET", /^\/workers\/scripts\/(?<script>[^/]+)\/secrets$/, ({ script }) => account.secrets(script)],
    // kvNamespaceListCommand, kvNamespaceCreateCommand (by the SDK).
    ["GET", /^\/storage\/kv\/namespaces$/, () => page(account.namespaces, query)],
    ["POST", /^\/storage\/kv\/namespaces$/, () => account.createNamespace(json(body).title)],
    // listDatabases, createD1Database, getDatabaseInfoFromIdOrName, d1ApiPost.
    ["GET", /^\/d1\/database$/, () => page(account.databases, query)],
    ["POST", /^\/d1\/database$/, () => account.createDatabase(json(body))],
    ["GET", /^\/d1\/database\/(?<id>[^/]+)$/, ({ id }) => account.database(id)],
    ["POST", /^\/d1\/database\/(?<id>[^/]+)\/query$/, ({ id }) => account.query(id, json(body).sql)],
    // preUploadApiChecks, getMigrationsToUpload.
    ["GET", /^\/workers\/services\/(?<script>[^/]+)$/, ({ script }) => account.service(script)],
    // getWorkersDevSubdomainInternal.
    ["GET", /^\/workers\/subdomain$/, () => account.subdomain()],
    // fetchLatestDeployments, createDeployment.
    ["GET", /^\/workers\/scripts\/(?<script>[^/]+)\/deployments$/, ({ script }) => account.deployments(script)],
    ["POST", /^\/workers\/scripts\/(?<script>[^/]+)\/deployments$/, ({ script }) => account.deploy(script, json(body))],
    // syncAssets.
    ["POST", /^\/workers\/scripts\/(?<script>[^/]+)\/assets-upload-session$/, () => account.beginAssets(json(body))],
    ["POST", /^\/workers\/assets\/upload$/, async () => account.uploadAssets(await form())],
    // getSettings, of the provisioning.
    ["GET", /^\/workers\/scripts\/(?<script>[^/]+)\/settings$/, ({ script }) => account.settings(script)],
    // deployWorker: the first upload, and each further one.
    ["PUT", /^\/workers\/scripts\/(?<script>[^/]+)$/, async ({ script }) => account.upload(script, await form())],
    [
      "POST",
      /^\/workers\/scripts\/(?<script>[^/]+)\/versions$/,
      async ({ script }) => account.addVersion(script, await form()),
    ],
    // patchNonVersionedScriptSettings.
    ["PATCH", /^\/workers\/scripts\/(?<script>[^/]+)\/script-settings$/, () => ({ result: json(body) })],
    // getWorkerSubdomain, subdomainDeploy, triggersDeploy.
    ["GET", /^\/workers\/workers\/(?<script>[^/]+)$/, ({ script }) => account.worker(script)],
    [
      "POST",
      /^\/workers\/scripts\/(?<script>[^/]+)\/subdomain$/,
      () => ({ result: { previews_enabled: false, ...json(body) } }),
    ],
    ["PUT", /^\/workers\/scripts\/(?<script>[^/]+)\/schedules$/, ({ script }) => account.schedule(script, json(body))],
  ];
  for (const [method, pattern, call] of routes) {
    const found = method === request.method && pattern.exec(rest);
    if (!found) continue;
    const name = `${method} ${rest.replace(found.groups?.id, ":id").replace(found.groups?.script, ":script")}`;
    return { name, call: () => call(found.groups) };
  }
  return { name: `${request.method} ${path}` };
}
