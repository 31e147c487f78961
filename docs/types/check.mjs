// What AsyncAPI's own schema, and the document's own schemas, say of the document on stdin: a line
// for each complaint, none if it is good.
import { readFileSync } from "node:fs";
import Ajv from "ajv";
import specs from "@asyncapi/specs";

const document = JSON.parse(readFileSync(0, "utf-8"));
const options = { strict: false, allErrors: true, validateFormats: false, logger: false };
const complaints = new Set();

function check(where, schema, value) {
  const holds = new Ajv(options).compile(schema);
  if (holds(value)) return;
  for (const error of holds.errors) complaints.add(`${where}${error.instancePath}: ${error.message}`);
}

check("document", specs.schemasWithoutId[document.asyncapi], document);
for (const [name, message] of Object.entries(document.components.messages)) {
  const schema = { ...message.payload, components: document.components };
  for (const { payload } of message.examples) check(`example of ${name}`, schema, payload);
}
process.stdout.write([...complaints].join("\n"));
