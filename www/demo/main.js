import * as bucket from "./bucket.js";
import * as conversation from "./conversation.js";
import * as directory from "./directory.js";
import * as edge from "./edge.js";
import * as inspector from "./inspector.js";
import * as log from "./log.js";
import * as overview from "./overview.js";
import * as quickStart from "./start.js";
import * as session from "./session.js";

for (const part of [inspector, log, overview, bucket, edge, directory, conversation, quickStart]) part.prepare();
performance.mark("interactive");
session.start(() => {
  bucket.forget();
  edge.forget();
  overview.forget();
  directory.open();
  overview.refresh();
  conversation.open();
  log.open();
}, log.close);
