package e2e

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// matrix is a table: what clients of one API do with the server.
type matrix struct {
	name     string // of its markers in docs/clients.md
	features []feature
	clients  []matrixClient
}

// feature is a column of a matrix: something that a client does with the server.
type feature struct {
	id     string // name of the case in every client
	title  string // head of the column
	proves string // what the case checks
}

// bedrockFeatures are the columns of the clients of Bedrock. Every client has a
// case, or a reason why it lacks it, for each of them.
func bedrockFeatures() []feature {
	return slices.Concat([]feature{
		{"models", "models", "lists the foundation models"},
		{"converse", "Converse", "gets the whole answer and the stop reason `end_turn`"},
		{"converse_stream", "Converse stream", "gets the same answer in parts as the model makes it, with the same token counts"},
		{"invoke", "Invoke", "the same through InvokeModel and the native body"},
		{"invoke_stream", "Invoke stream", "the same through InvokeModelWithResponseStream"},
		{"embeddings", "embeddings", "sentences of like meaning have like vectors"},
	}, chatFeatures(), []feature{
		{"count_tokens", "CountTokens", "the number that the call itself reports"},
	})
}

// directFeatures are the columns of the clients of the other APIs.
func directFeatures() []feature {
	return slices.Concat([]feature{
		{"models", "models", "lists the chat models"},
		{"chat", "chat", "gets the whole answer and the reason of its end"},
		{"chat_stream", "chat stream", "gets the same answer in parts as the model makes it, with the same token counts"},
	}, chatFeatures())
}

// chatFeatures are the columns of both.
func chatFeatures() []feature {
	return []feature{
		{"system_prompt", "system prompt", "reaches the model: the number of tokens differs without it"},
		{"stop_sequence", "stop sequence", "ends the answer before it and is told as stop reason"},
		{"usage", "usage", "the exact numbers of tokens"},
		{"tools", "tools", "a tool that the call demands, any or by name, is called with input that fits its schema"},
		{"tools_stream", "tools stream", "the same in parts"},
		{"tool_results", "tool results", "the result of a tool reaches the model, which answers with it"},
		{"json_schema", "JSON schema", "the answer is JSON that fits the schema"},
		{"unknown_model", "unknown model", "raises the client's class for it"},
		{"bad_key", "bad key", "raises the client's class for it"},
		{"validation", "wrong value", "raises the client's class for it, and the message names the field"},
	}
}

// matrixFacts are what all clients ask and expect, as environment variables.
func matrixFacts(t *testing.T) []string {
	t.Helper()
	return []string{
		"E2E_KEY=" + createKey(t, s.server, "--bearer").Secret,
		"E2E_MODEL=" + claudeHaiku,
		"E2E_MODERN_MODEL=us.anthropic.claude-sonnet-4-5-20250929-v1:0",
		"E2E_EMBEDDER=" + titanEmbed2,
		"E2E_SYSTEM=You are a helpful assistant.",
		"E2E_QUESTION=What is the capital of France?",
		"E2E_ANSWER=The capital of France is Paris.",
		"E2E_INPUT_TOKENS=" + strconv.Itoa(27),
		"E2E_OUTPUT_TOKENS=" + strconv.Itoa(8),
		"E2E_STOP= of",
		"E2E_BEFORE_STOP=The capital",
	}
}

// matrixClient is a row of the matrix.
type matrixClient struct {
	name    string                      // of the subtest
	title   string                      // in the table
	program func(t *testing.T) []string // what runs it
	env     []string
}

func bedrockClients() []matrixClient {
	return []matrixClient{
		{name: "boto3", title: "boto3", program: script(s.python, "matrix_boto3.py")},
		{name: "boto3-2024", title: "boto3, two years older", program: script(s.oldPython, "matrix_boto3.py")},
		{name: "awscli", title: "AWS CLI, version 1", program: script(s.python, "matrix_awscli.py")},
		{name: "go", title: "AWS SDK for Go v2 (bedrockruntime)", program: goClient("go.mod", "")},
		{name: "go-2024", title: "AWS SDK for Go v2 (bedrockruntime), two years older", program: goClient("old/go.mod", "old")},
		{name: "js", title: "AWS SDK for JavaScript v3", program: script("node", "matrix_js.cjs")},
		{name: "js-2024", title: "AWS SDK for JavaScript v3, two years older", program: script("node", "matrix_js.cjs"), env: []string{"NODE_PATH=" + s.oldNodeModules}},
		{name: "java", title: "AWS SDK for Java v2", program: javaClient},
		{name: "anthropic", title: "`anthropic[bedrock]`", program: script(s.frameworks, "matrix_anthropic.py")},
		{name: "langchain-aws", title: "`langchain-aws`", program: script(s.frameworks, "matrix_langchain.py")},
		{name: "litellm", title: "`litellm`", program: script(s.frameworks, "matrix_litellm.py")},
		{name: "strands-agents", title: "`strands-agents`", program: script(s.frameworks, "matrix_strands.py")},
		{name: "pydantic-ai", title: "`pydantic-ai`", program: script(s.frameworks, "matrix_pydantic_ai.py")},
		{name: "ai-sdk", title: "`@ai-sdk/amazon-bedrock`", program: script("node", "matrix_ai_sdk.cjs")},
	}
}

// directClients speak the other APIs on the same port.
func directClients() []matrixClient {
	return []matrixClient{
		{name: "openai", title: "`openai`, at `/openai/v1`", program: script(s.frameworks, "matrix_openai.py")},
		{name: "anthropic-api", title: "`anthropic`, at `/anthropic`", program: script(s.frameworks, "matrix_anthropic_api.py")},
	}
}

// script runs a file of clients/.
func script(interpreter, name string) func(*testing.T) []string {
	return func(t *testing.T) []string { return []string{interpreter, clientPath(t, name)} }
}

// goClient builds clients/gosdk with the versions of a go.mod.
func goClient(modfile, tags string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		binary := filepath.Join(t.TempDir(), "gosdk")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-modfile="+modfile, "-tags="+tags, "-o", binary, "./clients/gosdk")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
		return []string{binary}
	}
}

// javaClient compiles clients/java with the SDK's jars.
func javaClient(t *testing.T) []string {
	classes, jars := t.TempDir(), filepath.Join(s.jars, "*")
	cmd := exec.CommandContext(t.Context(), "javac", "-nowarn", "-cp", jars, "-d", classes, clientPath(t, "java/Matrix.java"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return []string{"java", "-cp", classes + string(filepath.ListSeparator) + jars, "Matrix"}
}

// row is what a run showed of a client.
type row struct {
	title, version string
	cells          map[string]outcome // by feature
}

// TestMatrix lets every client of Bedrock prove every feature that it has,
// against one server, and compares the outcome with docs/clients.md.
func TestMatrix(t *testing.T) {
	t.Parallel()
	runMatrix(t, matrix{"matrix", bedrockFeatures(), bedrockClients()})
}

// TestDirectMatrix does it for the clients of the other APIs.
func TestDirectMatrix(t *testing.T) {
	t.Parallel()
	runMatrix(t, matrix{"direct matrix", directFeatures(), directClients()})
}

func runMatrix(t *testing.T, m matrix) {
	facts := matrixFacts(t)
	var rows []row
	for _, c := range m.clients {
		t.Run(c.name, func(t *testing.T) {
			cmd := programCommand(t, s.server, c.program(t))
			cmd.Env = slices.Concat(cmd.Env, facts, c.env)
			version, all := runClient(t, cmd)
			if *caseName != "" {
				return
			}
			r := row{title: c.title, version: version, cells: make(map[string]outcome)}
			for _, o := range all {
				if !slices.ContainsFunc(m.features, func(f feature) bool { return f.id == o.Name }) {
					t.Errorf("%s is no feature", o.Name)
				}
				r.cells[o.Name] = o
			}
			for _, f := range m.features {
				if _, ok := r.cells[f.id]; !ok {
					t.Errorf("%s has neither a case %q nor a reason why it lacks it", c.name, f.id)
				}
			}
			rows = append(rows, r)
		})
	}
	if t.Failed() || *caseName != "" {
		return
	}
	checkTable(t, m.name, matrixTable(m.features, rows))
}

// matrixTable shows the rows, what the columns prove, and why cells are empty.
func matrixTable(features []feature, rows []row) []string {
	head, rule := "| client | version |", "|---|---|"
	for _, f := range features {
		head, rule = head+" "+f.title+" |", rule+":-:|"
	}
	lines := []string{head, rule}
	var reasons []string
	for _, r := range rows {
		line := "| " + r.title + " | " + r.version + " |"
		why := make(map[string][]string)
		var order []string
		for _, f := range features {
			lack := r.cells[f.id].Lacks
			if lack == "" {
				line += " ✓ |"
				continue
			}
			line += " – |"
			if why[lack] == nil {
				order = append(order, lack)
			}
			why[lack] = append(why[lack], f.title)
		}
		lines = append(lines, line)
		for _, lack := range order {
			reasons = append(reasons, "* "+r.title+": "+strings.Join(why[lack], ", ")+": "+lack+".")
		}
	}
	lines = append(lines, "", "What a mark stands for:", "")
	for _, f := range features {
		lines = append(lines, "* "+f.title+": "+f.proves+".")
	}
	if len(reasons) > 0 {
		lines = append(lines, "", "What there is no mark for:", "")
	}
	return append(lines, reasons...)
}

// TestLangChainStandard runs LangChain's standard tests of chat models and
// embeddings.
func TestLangChainStandard(t *testing.T) {
	t.Parallel()
	cmd := programCommand(t, s.server, []string{s.frameworks, clientPath(t, "langchain_standard.py")})
	cmd.Env = append(cmd.Env, matrixFacts(t)...)
	version, all := runClient(t, cmd)
	if t.Failed() || *caseName != "" {
		return
	}
	passed, left := 0, []string{"", "Left out:", ""}
	for _, o := range all {
		if o.Lacks == "" {
			passed++
		} else {
			left = append(left, "* `"+o.Name+"`: "+o.Lacks+".")
		}
	}
	lines := []string{"", "`langchain-tests` " + version + ": " + strconv.Itoa(passed) + " tests pass."}
	checkTable(t, "standard tests", append(lines, left...))
}
