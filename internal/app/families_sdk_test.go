package app_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/llm"
)

// Every family answers the SDK whole and streamed, with the same words in its own
// form.
func TestNativeBodies(t *testing.T) {
	t.Parallel()
	c := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "rock is stone"}))).Runtime()
	for id, w := range bodies() {
		body := w.build(t, "What is rock?", 0.5, 0.5, 100, []string{"END"})
		out, err := c.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: new(id), ContentType: new("application/json"), Body: body})
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if !strings.Contains(string(out.Body), "rock is stone") {
			t.Errorf("%s: %s", id, out.Body)
		}
		if strings.HasPrefix(id, "ai21.j2-") {
			continue // has no streams, at AWS either
		}
		stream, err := c.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: new(id), ContentType: new("application/json"), Body: body})
		if err != nil {
			t.Errorf("%s: stream: %v", id, err)
			continue
		}
		var all []string
		for ev := range stream.GetStream().Events() {
			all = append(all, string(ev.(*types.ResponseStreamMemberChunk).Value.Bytes))
		}
		if err := stream.GetStream().Err(); err != nil || len(all) < 4 || !strings.Contains(all[len(all)-1], `"amazon-bedrock-invocationMetrics"`) {
			t.Errorf("%s: %d chunks, %v: %s", id, len(all), err, strings.Join(all, "\n"))
		}
	}
}

// invoke answers a body with the SDK and reads the reply into v.
func invoke(t *testing.T, c *bedrockruntime.Client, id, body string, v any) {
	t.Helper()
	out, err := c.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: aws.String(id), ContentType: aws.String("application/json"), Body: []byte(body)})
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	if err := json.Unmarshal(out.Body, v); err != nil {
		t.Fatalf("%s: %v: %s", id, err, out.Body)
	}
}

// Several replies, citations, tokens, vectors and rankings come through the whole
// server.
func TestCohereAndAI21(t *testing.T) {
	t.Parallel()
	c := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "The tallest penguins are emperor penguins."}))).Runtime()

	var chat struct {
		Text      string
		Citations []struct {
			Start, End  int
			DocumentIDs []string `json:"document_ids"`
		}
	}
	invoke(t, c, "cohere.command-r-plus-v1:0", `{"message":"Who is tall?","documents":[{"title":"Penguins","snippet":"of all the tallest penguins are emperor penguins"}]}`, &chat)
	if len(chat.Citations) != 1 || chat.Citations[0].DocumentIDs[0] != "doc_0" || chat.Text[chat.Citations[0].Start:chat.Citations[0].End] != "The tallest penguins are emperor penguins" {
		t.Errorf("citations %+v", chat)
	}

	var command struct{ Generations []struct{ ID, Text string } }
	invoke(t, c, "cohere.command-text-v14", `{"prompt":"Who?","num_generations":3}`, &command)
	if g := command.Generations; len(g) != 3 || g[0].ID == g[1].ID || g[2].Text == "" {
		t.Errorf("generations %+v", g)
	}

	var j2 struct {
		Prompt      struct{ Text string }
		Completions []struct {
			Data struct {
				Text   string
				Tokens []struct{ TextRange struct{ Start, End int } }
			}
		}
	}
	invoke(t, c, "ai21.j2-ultra-v1", `{"prompt":"Who?","numResults":2}`, &j2)
	if len(j2.Completions) != 2 || j2.Prompt.Text != "Who?" {
		t.Fatalf("completions %+v", j2)
	}
	data := j2.Completions[0].Data
	if n := len(data.Tokens); n == 0 || data.Tokens[n-1].TextRange.End != len(data.Text) {
		t.Errorf("tokens %+v of %q", data.Tokens, data.Text)
	}

	var embed struct {
		ResponseType string `json:"response_type"`
		Embeddings   map[string][][]float64
	}
	invoke(t, c, "cohere.embed-english-v3", `{"texts":["a","b"],"input_type":"search_query","embedding_types":["float","ubinary"]}`, &embed)
	if embed.ResponseType != "embeddings_by_type" || len(embed.Embeddings["float"]) != 2 || len(embed.Embeddings["float"][1]) != 1024 || len(embed.Embeddings["ubinary"][0]) != 128 {
		t.Errorf("embeddings of type %s", embed.ResponseType)
	}
	var v4 struct{ Embeddings [][]float64 }
	invoke(t, c, "us.cohere.embed-v4:0", `{"inputs":[{"content":[{"type":"text","text":"a"}]}],"input_type":"search_query","output_dimension":256}`, &v4)
	sum := 0.0
	for _, x := range v4.Embeddings[0] {
		sum += x * x
	}
	if len(v4.Embeddings[0]) != 256 || math.Abs(sum-1) > 1e-3 {
		t.Errorf("%d dimensions, length %v", len(v4.Embeddings[0]), sum)
	}

	for id, extra := range map[string]string{"cohere.rerank-v3-5:0": `,"api_version":2`, "amazon.rerank-v1:0": ""} {
		var ranked struct {
			Results []struct {
				Index int
				Score float64 `json:"relevance_score"`
			}
		}
		invoke(t, c, id, `{"query":"what is rock","documents":["ice cream","what is rock","sand"],"top_n":2`+extra+`}`, &ranked)
		scores := []float64{}
		for _, r := range ranked.Results {
			scores = append(scores, -r.Score)
		}
		if len(ranked.Results) != 2 || ranked.Results[0].Index != 1 || !slices.IsSorted(scores) {
			t.Errorf("%s: %+v", id, ranked.Results)
		}
	}
}

// A tool goes through OpenAI's body: the wish of the model, and what it answered.
func TestToolsOfOpenAI(t *testing.T) {
	t.Parallel()
	e, last := overheard(scripted.Reply{Blocks: []scripted.Block{{Kind: llm.ToolCall, Name: "clock", Deltas: []string{`{"zone":`, `"Oslo"}`}}}}, scripted.Reply{Text: "Noon."})
	c := apptest.Start(t, apptest.Engine(e)).Runtime()
	const tools = `"tools":[{"type":"function","function":{"name":"clock","parameters":{"type":"object","properties":{"zone":{"type":"string"}}}}}]`
	var reply struct {
		Choices []struct {
			Message struct {
				Content   *string
				ToolCalls []struct {
					ID       string
					Function struct{ Name, Arguments string }
				} `json:"tool_calls"`
			}
			FinishReason string `json:"finish_reason"`
		}
	}
	invoke(t, c, "qwen.qwen3-32b-v1:0", `{"messages":[{"role":"user","content":"Time?"}],`+tools+`}`, &reply)
	calls := reply.Choices[0].Message.ToolCalls
	if len(calls) != 1 || calls[0].Function.Name != "clock" || calls[0].Function.Arguments != `{"zone":"Oslo"}` || reply.Choices[0].FinishReason != "tool_calls" {
		t.Fatalf("%+v", reply)
	}
	invoke(t, c, "qwen.qwen3-32b-v1:0", `{"messages":[{"role":"user","content":"Time?"},{"role":"assistant","content":null,"tool_calls":[{"id":"`+calls[0].ID+`","type":"function","function":{"name":"clock","arguments":"{\"zone\":\"Oslo\"}"}}]},{"role":"tool","tool_call_id":"`+calls[0].ID+`","content":"12"}],`+tools+`}`, &reply)
	if s := reply.Choices[0].Message.Content; s == nil || *s != "Noon." {
		t.Errorf("%+v", reply)
	}
	if m := last().Messages; len(m) != 3 || m[2].Content[0].Result.CallID != calls[0].ID {
		t.Errorf("the engine got %+v", m)
	}
}
