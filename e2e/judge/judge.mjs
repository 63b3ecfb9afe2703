// Reads batches of policies and requests, one JSON object a line, and prints for
// each batch a JSON list with one text per request: a letter for each policy, A if
// iam-simulate says that the policy allows, D if it denies, N if neither.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.NODE_MODULES + "/");
const { runSimulation } = await import(pathToFileURL(require.resolve("@cloud-copilot/iam-simulate")));

// letter tells what one policy says, from the statements of an analysis.
function letter(analysis, name) {
  const mine = (s) => s.policyId === name;
  if (analysis?.denyStatements.some(mine)) return "D";
  return analysis?.allowStatements.some(mine) ? "A" : "N";
}

async function judge(batch) {
  const input = {
    identityPolicies: [], serviceControlPolicies: [], resourceControlPolicies: [],
    permissionBoundaryPolicies: [], vpcEndpointPolicies: [],
  };
  // For each policy, where the judgement about it will stand.
  const seats = batch.policies.map(({ kind, policy }, i) => {
    const name = String(i);
    switch (kind) {
      case "identity-based policy":
        input.identityPolicies.push({ name, policy });
        return (a) => letter(a.identityAnalysis, name);
      case "permissions boundary":
        input.permissionBoundaryPolicies.push({ name, policy });
        return (a) => letter(a.permissionBoundaryAnalysis, name);
      case "VPC endpoint policy":
        input.vpcEndpointPolicies.push({ name, policy });
        return (a) => letter(a.endpointAnalysis, name);
      case "service control policy":
        input.serviceControlPolicies.push({ orgIdentifier: name, policies: [{ name, policy }] });
        return (a) => letter(a.scpAnalysis.ouAnalysis.find((ou) => ou.orgIdentifier === name), name);
      case "session policy":
        input.sessionPolicy = policy;
        return (a) => letter(a.sessionAnalysis, "SessionPolicy");
      case "resource-based policy":
        input.resourcePolicy = policy;
        return (a) => letter(a.resourceAnalysis, undefined);
    }
    throw new Error(`unknown kind of policy: ${kind}`);
  });
  const answers = [];
  for (const { action, resource, account, keys } of batch.requests) {
    const result = await runSimulation(
      { ...input, request: { principal: batch.principal, action, resource: { resource, accountId: account }, contextVariables: keys } },
      { simulationMode: "Strict" },
    );
    if (result.resultType !== "single" || result.result.ignoredContextKeys.length > 0) {
      throw new Error(`${action} on ${resource}: ${JSON.stringify(result.errors ?? result.result?.ignoredContextKeys ?? result.resultType)}`);
    }
    answers.push(seats.map((seat) => seat(result.result.analysis)).join(""));
  }
  return answers;
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await judge(JSON.parse(line))) + "\n");
}
