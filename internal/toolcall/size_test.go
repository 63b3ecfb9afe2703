package toolcall_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/toolcall"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// object is a schema of n optional members, behind more keywords.
func object(n int, more string) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"p%d":{"type":"string"}`, i)
	}
	return []byte(`{"type":"object"` + more + `,"properties":{` + strings.TrimPrefix(b.String(), ",") + `}}`)
}

// TestHeavyTools: what an engine would work on for ever is told in our words.
func TestHeavyTools(t *testing.T) {
	t.Parallel()
	schemas := func(n int, schema []byte) (out [][]byte) {
		for range n {
			out = append(out, schema)
		}
		return out
	}
	for name, c := range map[string]struct {
		schemas [][]byte
		native  bool
	}{
		"usual":             {schemas(20, object(30, "")), true},
		"many members":      {schemas(1, object(400, "")), true},
		"too many members":  {schemas(1, object(401, "")), false},
		"of all together":   {schemas(50, object(60, "")), false},
		"put together":      {schemas(1, object(50, `,"allOf":[`+strings.TrimSuffix(strings.Repeat(`{"$ref":"#"},`, 10), ",")+`]`)), false},
		"long":              {schemas(2, object(1, `,"description":"`+strings.Repeat("x", 140_000)+`"`)), false},
		"not JSON, refused": {[][]byte{[]byte(`{`)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := asking(llm.Choice{})
			r.Tools = nil
			for i, s := range c.schemas {
				r.Tools = append(r.Tools, llm.Tool{Name: fmt.Sprintf("t%d", i), Schema: s})
			}
			told := toolcall.Told(r, toolcall.Native)
			if native := len(told.Tools) > 0; native != c.native {
				t.Errorf("told as tools: %v", native)
			}
			lowered, _, err := toolcall.Lower(r, toolcall.Native)
			if strings.HasSuffix(name, "refused") {
				if apierr.From(err).Code != apierr.CodeValidation {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(lowered.Tools) != len(told.Tools) || strings.Join(lowered.System, "") != strings.Join(told.System, "") {
				t.Error("lowered in other words than told")
			}
		})
	}
}

// TestLongDescriptions: they count as schemas do.
func TestLongDescriptions(t *testing.T) {
	t.Parallel()
	r := asking(llm.Choice{})
	r.Tools[0].Description = strings.Repeat("word ", 60_000)
	if told := toolcall.Told(r, toolcall.Native); len(told.Tools) > 0 {
		t.Error("told as a tool")
	}
}

func TestTooManyTools(t *testing.T) {
	t.Parallel()
	r := asking(llm.Choice{})
	r.Tools = make([]llm.Tool, 200_000) // of one name: they are not compared with each other
	_, _, err := toolcall.Lower(r, toolcall.Native)
	if e := apierr.From(err); e.Code != apierr.CodeValidation || e.Message != "tools: a request may have at most 1000 tools, this one has 200000." {
		t.Errorf("error %v", err)
	}
}

// TestTooLargeToGuarantee: a grammar is made of so much and no more.
func TestTooLargeToGuarantee(t *testing.T) {
	t.Parallel()
	r := asking(llm.Choice{Kind: llm.ChooseAny})
	r.Tools = nil
	for i := range 7 {
		r.Tools = append(r.Tools, llm.Tool{Name: fmt.Sprintf("t%d", i), Schema: object(1, `,"description":"`+strings.Repeat("x", 90_000)+`"`)})
	}
	_, _, err := toolcall.Lower(r, toolcall.Plain)
	if e := apierr.From(err); e.Code != apierr.CodeValidation || !strings.Contains(e.Message, `tool "t5" at tools.5`) || !strings.Contains(e.Message, "too many to be guaranteed") {
		t.Errorf("error %v", err)
	}
	r.Choice = llm.Choice{} // need not be called: the large ones may have any object
	if lowered, _ := lower(t, r, toolcall.Plain); lowered.Grammar == "" {
		t.Error("no grammar")
	}
}

// TestTooComplexToGuarantee: what many schemas cost together has a bound as well.
func TestTooComplexToGuarantee(t *testing.T) {
	t.Parallel()
	r := asking(llm.Choice{})
	r.Tools = nil
	for i := range 200 {
		r.Tools = append(r.Tools, llm.Tool{Name: fmt.Sprintf("t%d", i), Schema: []byte(`{"type":"object","properties":{"k":{"type":"string","pattern":"(a|b)*a(a|b){9}$"}}}`)})
	}
	r.Tools = append(r.Tools, weather)
	lower(t, r, toolcall.Plain)
	r.Tools[200].Strict = true
	_, _, err := toolcall.Lower(r, toolcall.Plain)
	if e := apierr.From(err); e == nil || e.Code != apierr.CodeValidation || !strings.Contains(e.Message, "are too complex together") {
		t.Errorf("error %v", err)
	}
}
