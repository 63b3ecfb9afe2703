"use strict";
// What every JavaScript client of the matrix asks and expects. The harness chooses
// question and answer (matrix_test.go) and passes them in the environment, so that
// all languages prove the same.

const { assert, includes } = require("./cases.cjs");

const env = process.env;
const facts = {
  MODEL: env.E2E_MODEL, // a chat model of Anthropic's family
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
};

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

module.exports = { ...facts, similar, streamed, counted, names };
