package cohere

import (
	"encoding/json"
	"errors"
	"flag"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/familytest"
	"github.com/outcrop/outcrop/internal/llm"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func fixed() family.Family {
	return Family{Rand: strings.NewReader(strings.Repeat("outcrop", 100))}
}

func subject() familytest.Subject {
	return familytest.Subject{New: fixed, Text: textOf, Calls: callsOf, Free: []string{"parameters", "outputs"}, Update: *update}
}

type native struct {
	Event       string  `json:"event_type"`
	Text        *string `json:"text"`
	Finished    *bool   `json:"is_finished"`
	Generations []struct {
		Text string `json:"text"`
	} `json:"generations"`
	ToolCalls []struct {
		Name       string
		Parameters json.RawMessage
	} `json:"tool_calls"`
}

// textOf takes the text out of a reply, a chunk or an event.
func textOf(data []byte) (string, error) {
	var v native
	if err := json.Unmarshal(data, &v); err != nil {
		return "", err
	}
	switch {
	case len(v.Generations) > 0:
		return v.Generations[0].Text, nil
	case v.Text != nil:
		return *v.Text, nil
	case v.Finished != nil && *v.Finished, v.Event != "":
		return "", nil
	}
	return "", errors.New("no text")
}

// callsOf takes the tool calls out of a reply or an event.
func callsOf(data []byte) ([]llm.Call, error) {
	var v native
	err := json.Unmarshal(data, &v)
	var out []llm.Call
	for _, c := range v.ToolCalls {
		out = append(out, llm.Call{Name: c.Name, Input: c.Parameters})
	}
	return out, err
}

func TestConformance(t *testing.T) {
	t.Parallel()
	familytest.Run(t, subject())
}

func FuzzParse(f *testing.F) { familytest.Fuzz(f, subject()) }

// TestRanges holds the ranges of the user guide.
func TestRanges(t *testing.T) {
	t.Parallel()
	stops := familytest.Bounds{Good: []string{"[]", `["—","Summary:"]`, `["1","2","3","4"]`}, Bad: []string{`["1","2","3","4","5"]`, `[""]`, `"a"`}}
	familytest.Ranges(t, Family{}, family.Model{ID: "cohere.command-text-v14"}, `{"prompt":"a"}`, map[string]familytest.Bounds{
		"temperature":        {Good: []string{"0", "5"}, Bad: []string{"-0.1", "5.1", "null"}},
		"p":                  {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
		"k":                  {Good: []string{"0", "500"}, Bad: []string{"-1", "501", "1.5"}},
		"max_tokens":         {Good: []string{"1", "4096"}, Bad: []string{"0", "4097"}},
		"num_generations":    {Good: []string{"1", "5"}, Bad: []string{"0", "6"}},
		"stop_sequences":     stops,
		"return_likelihoods": {Good: []string{`"NONE"`, `"GENERATION"`}, Bad: []string{`"ALL"`, `"SOME"`, "null"}},
		"truncate":           {Good: []string{`"NONE"`, `"START"`, `"END"`}, Bad: []string{`"MIDDLE"`}},
		"stream":             {Good: []string{"true", "false"}, Bad: []string{"1", "null"}},
		"logit_bias":         {Good: []string{"{}"}, Bad: []string{`{"11":5}`, "1"}},
	})
	familytest.Ranges(t, Family{}, family.Model{ID: "cohere.command-r-v1:0"}, `{"message":"a"}`, map[string]familytest.Bounds{
		"temperature":         {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
		"p":                   {Good: []string{"0.01", "0.99"}, Bad: []string{"0", "1"}},
		"k":                   {Good: []string{"0", "500"}, Bad: []string{"-1", "501"}},
		"max_tokens":          {Good: []string{"1", "4000"}, Bad: []string{"0", "4001"}},
		"seed":                {Good: []string{"0", "9007199254740992"}, Bad: []string{"-1"}},
		"frequency_penalty":   {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
		"presence_penalty":    {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
		"prompt_truncation":   {Good: []string{`"OFF"`, `"AUTO_PRESERVE_ORDER"`}, Bad: []string{`"AUTO"`}},
		"search_queries_only": {Good: []string{"true", "false"}, Bad: []string{"1"}},
	})
	familytest.Ranges(t, Family{}, family.Model{ID: "cohere.embed-v4:0"}, `{"input_type":"search_query","texts":["a"]}`, map[string]familytest.Bounds{
		"output_dimension": {Good: []string{"256", "512", "1024", "1536"}, Bad: []string{"384", "0", "1024.0"}},
		"max_tokens":       {Good: []string{"1", "128000"}, Bad: []string{"0", "128001"}},
		"truncate":         {Good: []string{`"NONE"`, `"LEFT"`, `"RIGHT"`}, Bad: []string{`"END"`}},
		"embedding_types":  {Good: []string{`["float","int8","uint8","binary","ubinary"]`}, Bad: []string{"[]", `["base32"]`}},
		"input_type":       {Good: []string{`"search_document"`, `"search_query"`, `"classification"`, `"clustering"`, `"image"`}, Bad: []string{`"none"`, "null"}},
	})
	text := `"` + strings.Repeat("é", maxChars) + `"`
	texts := strings.TrimSuffix(strings.Repeat(`"a",`, maxTexts), ",")
	familytest.Ranges(t, Family{}, family.Model{ID: "cohere.embed-english-v3"}, `{"input_type":"search_query","texts":["a"]}`, map[string]familytest.Bounds{
		"texts":    {Good: []string{"[" + text + "]", "[" + texts + "]"}, Bad: []string{"[" + text[:len(text)-1] + `."]`, "[" + texts + `,"a"]`, "[]", `[""]`}},
		"truncate": {Good: []string{`"NONE"`, `"START"`, `"END"`}, Bad: []string{`"LEFT"`}},
	})
	docs := strings.TrimSuffix(strings.Repeat(`"a",`, maxDocuments), ",")
	familytest.Ranges(t, Family{}, family.Model{ID: "cohere.rerank-v3-5:0"}, `{"query":"a","documents":["a"],"api_version":2}`, map[string]familytest.Bounds{
		"documents":   {Good: []string{"[" + docs + "]"}, Bad: []string{"[" + docs + `,"a"]`, "[]", `[""]`, "[1]"}},
		"top_n":       {Good: []string{"1", "1000"}, Bad: []string{"0", "1001"}},
		"api_version": {Good: []string{"2"}, Bad: []string{"1", "3"}},
		"query":       {Good: []string{`"a"`}, Bad: []string{`""`, "1"}},
	})
}

// TestSearchQueries checks that the lines of the reply become queries.
func TestSearchQueries(t *testing.T) {
	t.Parallel()
	task, err := fixed().Parse(family.Model{ID: "cohere.command-r-v1:0"}, []byte(`{"message":"Who is tall?","search_queries_only":true}`))
	if err != nil {
		t.Fatal(err)
	}
	text := task.(family.Text)
	if s := text.Request().System; len(s) != 1 || s[0] != askFor {
		t.Errorf("system text %q", s)
	}
	events := []llm.Event{
		{Kind: llm.Start}, {Kind: llm.BlockStart}, {Kind: llm.Delta, Text: " tallest man\n\n tall"}, {Kind: llm.Delta, Text: "est \"tree\""},
		{Kind: llm.BlockStop}, {Kind: llm.Stop, Reason: llm.EndTurn}, {Kind: llm.Done},
	}
	whole, err := llm.Collect(func(yield func(llm.Event, error) bool) {
		for _, ev := range events {
			if !yield(ev, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := text.Response(whole)
	if err != nil {
		t.Fatal(err)
	}
	const want = `"search_queries":[{"text":"tallest man","generation_id":"7463726f-706f-4574-a372-6f706f757463"},{"text":"tallest \"tree\"","generation_id":"7463726f-706f-4574-a372-6f706f757463"}]`
	if !strings.Contains(string(data), `"text":"",`+want) || !json.Valid(data) {
		t.Errorf("reply %s", data)
	}
	st, err := text.Stream()
	if err != nil {
		t.Fatal(err)
	}
	var chunks []string
	for _, ev := range events {
		if err := st.Chunks(ev, func(c []byte) error { chunks = append(chunks, string(c)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(chunks) != 2 || chunks[0] != `{"event_type":"search-queries-generation","is_finished":false,`+want+`}` || !strings.Contains(chunks[1], want) {
		t.Errorf("chunks %s", strings.Join(chunks, "\n"))
	}
}

func TestCite(t *testing.T) {
	t.Parallel()
	docs := []document{
		{id: "a", text: "title: Penguins\nsnippet: Emperor penguins are the tallest of all.\n"},
		{id: "b", text: "snippet: Some say that emperor penguins are the tallest, and live in Antarctica\n"},
		{id: "c", text: "snippet: a a a a a\n"},
	}
	for text, want := range map[string]string{
		"":                 "",
		"penguins are the": "",
		"Well, the “Emperor penguins are the tallest of all”!":                                  "11-50 Emperor penguins are the tallest of all [0]",
		"🪨 emperor  penguins\nare the tallest. They live in Antarctica and live in Antarctica.": "2-35 emperor  penguins\nare the tallest [0 1];61-83 and live in Antarctica [1]",
		"a a a a a a a a": "0-9 a a a a a [2]",
		"— — — — — —":     "",
	} {
		var got []string
		for _, c := range cite(text, docs) {
			got = append(got, strings.Join([]string{itoa(c.start) + "-" + itoa(c.end), c.text, strings.ReplaceAll(list(c.documents), ",", " ")}, " "))
			if string([]rune(text)[c.start:c.end]) != c.text {
				t.Errorf("%q: characters %d to %d are not %q", text, c.start, c.end, c.text)
			}
		}
		if s := strings.Join(got, ";"); s != want {
			t.Errorf("%q: %q, want %q", text, s, want)
		}
	}
}

func itoa(n int) string { return list(n) }

func list(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TestQuantised checks the forms of a vector.
func TestQuantised(t *testing.T) {
	t.Parallel()
	v := []float32{1, -0.5, 0.25, 0, -1, 0.1, 0.2, -0.3, 0.5}
	for kind, want := range map[string]string{
		kindFloat:   "[[1,-0.5,0.25,0,-1,0.1,0.2,-0.3,0.5]]",
		kindInt8:    "[[127,-64,32,0,-127,13,25,-38,64]]",
		kindUint8:   "[[255,64,160,128,1,141,153,90,192]]",
		kindUbinary: "[[166,128]]",
		kindBinary:  "[[38,0]]",
	} {
		if got := string(appendVectors(nil, [][]float32{v}, kind)); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
	if got := string(appendVectors(nil, [][]float32{{0, 0}}, kindInt8)); got != "[[0,0]]" {
		t.Errorf("zeros: %s", got)
	}
}

// TestFaults checks that a fault of the pipeline is not the caller's.
func TestFaults(t *testing.T) {
	t.Parallel()
	task, err := Family{}.Parse(family.Model{ID: "cohere.embed-english-v3"}, []byte(`{"texts":["a"],"input_type":"search_query"}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*llm.EmbedResponse{"no vector": {}, "wrong length": {Vectors: [][]float32{{1}}, Tokens: []int{1}}} {
		if _, err := task.(family.Embedding).Response(r); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if task, err = (Family{}).Parse(family.Model{ID: "amazon.rerank-v1:0"}, []byte(`{"query":"a","documents":["a","b"]}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := task.(family.Ranking).Response(&llm.RankResponse{Scores: []float64{1}}); err == nil {
		t.Error("one score for two documents is accepted")
	}
}
