// Reads a stream with eventsource-parser, and prints what the parser finds, each as a line of JSON.
import { createParser } from "eventsource-parser";

const [url, lastEventId] = process.argv.slice(2);
const print = (found) => console.log(JSON.stringify(found));
const parser = createParser({
  onEvent: (event) => print({ event }),
  onComment: (comment) => print({ comment }),
  onRetry: (retry) => print({ retry }),
  onError: (error) => print({ error: error.message }),
});
const headers = { Accept: "text/event-stream", Authorization: `Bearer ${process.env.ROLLCALL_API_KEY}` };
if (lastEventId) headers["Last-Event-ID"] = lastEventId;
const response = await fetch(url, { headers });
for await (const text of response.body.pipeThrough(new TextDecoderStream())) parser.feed(text);
print({ end: response.status });
