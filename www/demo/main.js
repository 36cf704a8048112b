import * as bucket from "./bucket.js";
import * as conversation from "./conversation.js";
import * as directory from "./directory.js";
import * as inspector from "./inspector.js";
import * as overview from "./overview.js";
import * as quickStart from "./start.js";
import * as session from "./session.js";

for (const part of [inspector, overview, bucket, directory, conversation, quickStart]) part.prepare();
performance.mark("interactive");
session.start(() => {
  bucket.forget();
  overview.forget();
  directory.open();
  overview.refresh();
  conversation.open();
});
