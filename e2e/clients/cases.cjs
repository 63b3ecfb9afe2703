"use strict";
// Runs the cases of a client script and prints one line of JSON for each. A case
// passes when its function returns; what it returns is shown. lacks() names what
// a client has no way to ask for. Argument: a regular expression of the names to
// run.

const assert = require("node:assert/strict");

const cases = [];

function test(name, run) {
  cases.push({ name, run });
}

// lacks: the client itself has no way to do these, for this reason.
const missing = [];

function lacks(reason, ...names) {
  for (const name of names) missing.push({ name, lacks: reason });
}

// rejects awaits a failure of this name and returns it. `kind` is an SDK's error
// class for modelled errors, null for others.
async function rejects(promise, name, kind) {
  let result;
  try {
    result = await promise;
  } catch (error) {
    assert.equal(error.name, name, String(error.stack));
    if (kind) assert.ok(error instanceof kind, `${error.name} is not the SDK's class`);
    return error;
  }
  throw new Error(`no ${name}, but ${JSON.stringify(result)?.slice(0, 300)}`);
}

function includes(text, ...parts) {
  for (const part of parts) assert.ok(text.includes(part), `${JSON.stringify(part)} is not in ${JSON.stringify(text)}`);
}

// main runs the cases. What is told about the client is printed first.
async function main(about) {
  const pattern = new RegExp(process.argv[2] ?? "");
  let done = 0;
  if (about) console.log(JSON.stringify({ about }));
  for (const line of missing) console.log(JSON.stringify(line));
  for (const { name, run } of cases) {
    if (!pattern.test(name)) continue;
    done++;
    const result = { name, error: "" };
    const begin = performance.now();
    try {
      result.detail = String((await run()) ?? "");
    } catch (error) {
      result.error = String(error?.stack ?? error);
    }
    result.seconds = Math.round((performance.now() - begin) / 10) / 100;
    console.log(JSON.stringify(result));
  }
  console.log(JSON.stringify({ done }));
  process.exit(0); // connections that the clients keep would hold the process
}

module.exports = { assert, test, lacks, rejects, includes, main };
