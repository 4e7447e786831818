// A client of the official TypeScript SDK: starts the gateway, calls tools, prints answers as JSON.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [command, calls] = process.argv.slice(2).map((each) => JSON.parse(each));
const client = new Client({ name: "typescript", version: "1" });
await client.connect(
  new StdioClientTransport({ command: command[0], args: command.slice(1), env: process.env }),
);
const tools = (await client.listTools()).tools.map((each) => each.name);
const answers = [];
for (const [name, args] of calls) {
  const answer = await client.callTool({ name, arguments: args });
  const text = answer.content.map((each) => each.text ?? "").join("");
  answers.push([answer.isError ?? false, text]);
}
await client.close();
console.log(JSON.stringify({ tools, answers }));
