"use strict";
// What every JavaScript client of the matrix asks and expects. The harness chooses
// question and answer (matrix_test.go) and passes them in the environment, so that
// all languages prove the same.

const { assert, includes } = require("./cases.cjs");

const env = process.env;
const facts = {
  MODEL: env.E2E_MODEL, // a chat model of Anthropic's family
  MODERN: env.E2E_MODERN_MODEL, // of the same family, with JSON schemas in the clients' tables
  EMBEDDER: env.E2E_EMBEDDER, // Titan Text Embeddings V2
  ENDPOINT: env.AWS_ENDPOINT_URL,
  SYSTEM: env.E2E_SYSTEM,
  QUESTION: env.E2E_QUESTION,
  ANSWER: env.E2E_ANSWER, // whole reply to QUESTION under SYSTEM at temperature 0
  INPUT_TOKENS: Number(env.E2E_INPUT_TOKENS), // of SYSTEM and QUESTION
  OUTPUT_TOKENS: Number(env.E2E_OUTPUT_TOKENS), // of ANSWER
  STOP: env.E2E_STOP, // a part of ANSWER
  BEFORE_STOP: env.E2E_BEFORE_STOP, // what stands before STOP
  UNKNOWN: "acme.gpt-0", // nobody's model
  BAD_KEYS: { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "x".repeat(40) },
  CAT: "A cat sits on the mat.",
  KITTEN: "A kitten is lying on a rug.",
  TAX: "Quarterly tax returns are due in April.",
  TOOL: "get_weather",
  TOOL_TEXT: "Tells the weather of a city.",
  SCHEMA: {
    type: "object",
    properties: { city: { type: "string" }, unit: { type: "string", enum: ["celsius", "fahrenheit"] } },
    required: ["city", "unit"],
    additionalProperties: false,
  },
  WEATHER: "What is the weather in Paris?",
  CALL_ID: "tooluse_e2e_1",
  CALL: { city: "Paris", unit: "celsius" },
  RESULT: "It is 21 degrees and sunny in Paris.",
};

// fits checks that a value fits SCHEMA.
function fits(value) {
  assert.deepEqual(Object.keys(value).sort(), ["city", "unit"]);
  assert.equal(typeof value.city, "string");
  includes(["celsius", "fahrenheit"], value.unit);
  return JSON.stringify(value);
}

// called checks a call of TOOL.
function called(name, value) {
  assert.equal(name, facts.TOOL);
  return fits(value);
}

// joined checks that a tool's input came in parts; returns it.
function joined(parts) {
  const full = parts.filter(Boolean);
  assert.ok(full.length > 3, JSON.stringify(full));
  return JSON.parse(full.join(""));
}

// answered checks the answer to RESULT.
function answered(text) {
  includes(text, "21");
  return JSON.stringify(text);
}

// similar checks the vectors of CAT, KITTEN and TAX.
function similar(cat, kitten, tax, dimensions = 1024) {
  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const cosine = (a, b) => {
    assert.equal(a.length, dimensions);
    return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  };
  const near = cosine(cat, kitten);
  const far = cosine(cat, tax);
  assert.ok(near > far + 0.2, `${near} ${far}`);
  return `near ${near.toFixed(2)}, far ${far.toFixed(2)}`;
}

// streamed checks that ANSWER came in pieces as the model made it.
function streamed(parts) {
  const full = parts.filter(Boolean);
  assert.equal(full.join(""), facts.ANSWER);
  assert.ok(full.length > 3, JSON.stringify(full));
  return `${full.length} parts`;
}

// counted checks the token counts of QUESTION and ANSWER.
function counted(input, output) {
  assert.deepEqual([input, output], [facts.INPUT_TOKENS, facts.OUTPUT_TOKENS]);
  return `${input} + ${output}`;
}

// names checks what an error says; returns its class.
function names(error, ...parts) {
  includes(`${error.name} ${error.message} ${error.responseBody ?? ""}`, ...parts);
  return error.name;
}

module.exports = { ...facts, fits, called, joined, answered, similar, streamed, counted, names };
