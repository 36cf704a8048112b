// Runs a command. When standard input ends, the parent process is gone, and this script ends the command with
// everything that it started. It must be the leader of its process group.
import { spawn } from "node:child_process";

const [command, ...args] = process.argv.slice(2);
const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] });

function end(signal, code) {
  process.on(signal, () => {});
  process.kill(-process.pid, signal);
  setTimeout(() => process.kill(-process.pid, "SIGKILL"), 3000).unref();
  child.on("exit", () => process.exit(code));
}

child.on("error", (error) => {
  console.error(`${command}: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code) => process.exit(code ?? 1));
process.stdin.on("end", () => end("SIGTERM", 0));
process.stdin.on("error", () => end("SIGTERM", 0));
process.stdin.resume();
