// Unpacks the Chromium of the npm package @sparticuz/chromium into TMPDIR, with the libraries and fonts that a bare
// machine may lack. The first argument is the package's folder.
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder] = process.argv.slice(2);
const { default: chromium, inflate } = await import(pathToFileURL(join(folder, "build/index.js")));
await inflate(join(folder, "bin/al2023.tar.br"));
console.log(await chromium.executablePath());
