package familytest

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
)

// checkRequest checks what holds for every request that a family makes.
func checkRequest(t testing.TB, p parsed) {
	t.Helper()
	switch task := p.task.(type) {
	case family.Embedding:
		checkEmbed(t, task)
	case family.Ranking:
		if r := task.Request(); len(r.Documents) == 0 {
			t.Error("nothing to rank")
		}
	case family.Picture:
		checkPicture(t, task.Request())
	case family.Text:
		checkText(t, task.Request())
	}
}

func checkEmbed(t testing.TB, e family.Embedding) {
	t.Helper()
	r := e.Request()
	if len(r.Texts)+len(r.Images) == 0 || e.Dimensions() < 1 {
		t.Errorf("%d texts, %d images, %d dimensions", len(r.Texts), len(r.Images), e.Dimensions())
	}
	if n := len(r.Texts); len(r.Images) > 0 && n != 0 && n != len(r.Images) {
		t.Errorf("%d texts beside %d images", n, len(r.Images))
	}
	for i := range r.Images {
		checkMedia(t, &r.Images[i])
	}
}

func checkPicture(t testing.TB, r *llm.PictureRequest) {
	t.Helper()
	if r.Task == "" || r.Count < 1 || r.Width < 0 || r.Height < 0 || !slices.Contains([]string{"png", "jpeg", "webp"}, r.Format) {
		t.Errorf("task %q, %d pictures of %dx%d, format %q", r.Task, r.Count, r.Width, r.Height, r.Format)
	}
	if (r.Width == 0 || r.Height == 0) && len(r.Images) == 0 {
		t.Errorf("%dx%d without a picture that gives the size", r.Width, r.Height)
	}
	for i := range r.Images {
		checkMedia(t, &r.Images[i])
	}
	if r.Mask != nil {
		checkMedia(t, r.Mask)
	}
}

func checkMedia(t testing.TB, m *llm.Media) {
	t.Helper()
	set := 0
	for _, has := range []bool{len(m.Data) > 0, m.URI != "", m.Text != ""} {
		if has {
			set++
		}
	}
	if set != 1 || m.Place == "" {
		t.Errorf("media at %q has %d of data, address and text", m.Place, set)
	}
}

func checkText(t testing.TB, r *llm.Request) {
	t.Helper()
	if n := r.Params.MaxTokens; n != nil && *n < 1 {
		t.Errorf("output limit %d", *n)
	}
	if slices.Contains(r.Params.Stop, "") {
		t.Error("an empty stop sequence")
	}
	checkTools(t, r)
	if r.Raw != "" {
		if len(r.Messages)+len(r.System)+len(r.Tools) > 0 {
			t.Error("a raw prompt beside a conversation")
		}
		return
	}
	if len(r.Messages) == 0 || r.Messages[0].Role != llm.User {
		t.Fatalf("the conversation does not start with a user turn: %+v", r.Messages)
	}
	for i, m := range r.Messages {
		if i > 0 && r.Messages[i-1].Role == m.Role {
			t.Errorf("turns %d and %d have the same role", i-1, i)
		}
		if len(m.Content) == 0 {
			t.Errorf("turn %d is empty", i)
		}
		for j := range m.Content {
			checkBlock(t, m.Role, &m.Content[j])
		}
	}
	if c := r.Cache; c != nil && (c.Message < 0 || c.Block < 0 || c.Message >= len(r.Messages) || c.Block > len(r.Messages[c.Message].Content)) {
		t.Errorf("cache point at %+v", *c)
	}
}

func checkTools(t testing.TB, r *llm.Request) {
	t.Helper()
	names := map[string]bool{"": true}
	for _, tool := range r.Tools {
		if names[tool.Name] {
			t.Errorf("tool %q is nameless or told twice", tool.Name)
		}
		names[tool.Name] = true
		if !isObject(tool.Schema) {
			t.Errorf("tool %s has schema %s", tool.Name, tool.Schema)
		}
	}
	if c := r.Choice; c.Kind == llm.ChooseNamed != (c.Name != "") || !names[c.Name] || c.Kind == llm.ChooseAny && len(r.Tools) == 0 {
		t.Errorf("choice %+v of %d tools", c, len(r.Tools))
	}
	if f := r.Format; f != nil && f.Schema != nil && !isObject(f.Schema) {
		t.Errorf("format has schema %s", f.Schema)
	}
}

func checkBlock(t testing.TB, role llm.Role, b *llm.Block) {
	t.Helper()
	of := llm.User
	switch b.Kind {
	case llm.Text:
		of = role
	case llm.Image, llm.Document:
		if b.Media == nil {
			t.Fatalf("a block of kind %d has no media", b.Kind)
		}
		checkMedia(t, b.Media)
	case llm.ToolResult:
		if b.Result == nil || b.Result.CallID == "" {
			t.Fatal("a tool result answers no call")
		}
		for i := range b.Result.Content {
			if k := b.Result.Content[i].Kind; k != llm.Text && k != llm.Image && k != llm.Document {
				t.Errorf("a tool result has a block of kind %d", k)
			}
		}
	case llm.ToolCall:
		of = llm.Assistant
		if c := b.Call; c == nil || c.ID == "" || c.Name == "" || !isObject(c.Input) {
			t.Fatalf("tool call %+v", c)
		}
	case llm.Reasoning:
		of = llm.Assistant
	default:
		t.Errorf("a block of kind %d", b.Kind)
	}
	if role != of {
		t.Errorf("a block of kind %d of %s", b.Kind, role)
	}
}

func isObject(data []byte) bool {
	var v map[string]any
	return json.Unmarshal(data, &v) == nil && v != nil
}
