package converse

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

const (
	weather = `{"toolSpec":{"name":"get_weather","description":"Tells the weather","inputSchema":{"json":{"type":"object","properties":{"city":{"type":"string"}}}}}}`
	clock   = `{"toolSpec":{"name":"clock","inputSchema":{"json":{ "type" : "object" }},"strict":true}}`
	tools   = `"toolConfig":{"tools":[` + weather + `,` + clock + `]}`
)

func toolsOf() []llm.Tool {
	return []llm.Tool{
		{Name: "get_weather", Description: "Tells the weather", Schema: []byte(`{"type":"object","properties":{"city":{"type":"string"}}}`)},
		{Name: "clock", Schema: []byte(`{"type":"object"}`), Strict: true},
	}
}

func turns(contents ...string) string {
	var b strings.Builder
	for i, c := range contents {
		r := "user"
		if i%2 == 1 {
			r = "assistant"
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"role":%q,"content":[%s]}`, r, c)
	}
	return `"messages":[` + b.String() + `]`
}

func use(id string) string {
	return `{"toolUse":{"toolUseId":"` + id + `","name":"clock","input":{}}}`
}

func result(id string) string {
	return `{"toolResult":{"toolUseId":"` + id + `","content":[{"text":"noon"}]}}`
}

func b64(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }

// TestBlocks has every block that is taken, and what becomes of it.
func TestBlocks(t *testing.T) {
	t.Parallel()
	document := func(rest string) string {
		return `{"text":"Read."},{"document":{"name":"A b-(c)[1]_",` + rest + `}}`
	}
	for name, c := range map[string]struct {
		turns []string // the last one is looked at
		want  []llm.Block
	}{
		"text": {[]string{`{"text":" a "}`}, []llm.Block{{Kind: llm.Text, Text: " a "}}},
		"image": {[]string{`{"image":{"format":"png","source":{"bytes":"AQI="}}}`}, []llm.Block{
			{Kind: llm.Image, Media: &llm.Media{Format: "png", Data: []byte{1, 2}, Place: "messages.0.content.0"}},
		}},
		"image of a bucket": {[]string{`{"text":"a"},{"image":{"format":"webp","source":{"s3Location":{"uri":"s3://bucket/key","bucketOwner":"123456789012"}}}}`}, []llm.Block{
			{Kind: llm.Text, Text: "a"}, {Kind: llm.Image, Media: &llm.Media{Format: "webp", URI: "s3://bucket/key", Place: "messages.0.content.1"}},
		}},
		"document": {[]string{document(`"format":"pdf","source":{"bytes":"AQI="},"context":"of 1999","citations":{"enabled":true}`)}, []llm.Block{
			{Kind: llm.Text, Text: "Read."},
			{Kind: llm.Document, Media: &llm.Media{Format: "pdf", Name: "A b-(c)[1]_", Context: "of 1999", Data: []byte{1, 2}, Place: "messages.0.content.1"}},
		}},
		"document of a bucket": {[]string{document(`"format":"csv","source":{"s3Location":{"uri":"s3://bucket/key"}}`)}, []llm.Block{
			{Kind: llm.Text, Text: "Read."},
			{Kind: llm.Document, Media: &llm.Media{Format: "csv", Name: "A b-(c)[1]_", URI: "s3://bucket/key", Place: "messages.0.content.1"}},
		}},
		"document of text": {[]string{document(`"source":{"text":"Hi"}`)}, []llm.Block{
			{Kind: llm.Text, Text: "Read."},
			{Kind: llm.Document, Media: &llm.Media{Format: "txt", Name: "A b-(c)[1]_", Text: "Hi", Place: "messages.0.content.1"}},
		}},
		"document of pieces": {[]string{document(`"format":"md","source":{"content":[{"text":"# One"},{"text":"Two"}]}`)}, []llm.Block{
			{Kind: llm.Text, Text: "Read."},
			{Kind: llm.Document, Media: &llm.Media{Format: "md", Name: "A b-(c)[1]_", Text: "# One\nTwo", Place: "messages.0.content.1"}},
		}},
		"guarded text": {[]string{`{"guardContent":{"text":{"text":"a","qualifiers":["query"]}}}`}, []llm.Block{{Kind: llm.Text, Text: "a"}}},
		"guarded image": {[]string{`{"guardContent":{"image":{"format":"jpeg","source":{"bytes":"AQ=="}}}}`}, []llm.Block{
			{Kind: llm.Image, Media: &llm.Media{Format: "jpeg", Data: []byte{1}, Place: "messages.0.content.0.guardContent"}},
		}},
		"search result": {[]string{`{"searchResult":{"source":"https://a.example","title":"A","content":[{"text":"one"},{"text":"two"}],"citations":{"enabled":true}}}`}, []llm.Block{
			{Kind: llm.Text, Text: "Search result: A\nSource: https://a.example\n\none\ntwo"},
		}},
		"tool calls": {[]string{`{"text":"a"}`, `{"text":"Let me see."},{"toolUse":{"toolUseId":"a.1:-_","name":"clock","input": { "z" : 1.50, "a":[{"é":null}] } }},` + use("b"), result("a.1:-_") + "," + result("b")}[:2], []llm.Block{
			{Kind: llm.Text, Text: "Let me see."},
			{Kind: llm.ToolCall, Call: &llm.Call{ID: "a.1:-_", Name: "clock", Input: []byte(`{"z":1.50,"a":[{"é":null}]}`)}},
			{Kind: llm.ToolCall, Call: &llm.Call{ID: "b", Name: "clock", Input: []byte(`{}`)}},
		}},
		"tool results": {[]string{`{"text":"a"}`, use("a") + "," + use("b"), `{"toolResult":{"toolUseId":"b","status":"success","content":[]}},{"text":"and"},
			{"toolResult":{"toolUseId":"a","status":"error","content":[{"json":{"x" : [1, 2]}},{"text":"late"},{"image":{"format":"gif","source":{"bytes":"AQ=="}}},
				{"document":{"name":"d","format":"html","source":{"bytes":"Ag=="}}},{"searchResult":{"source":"s","title":"t","content":[{"text":"c"}]}}]}}`}, []llm.Block{
			{Kind: llm.ToolResult, Result: &llm.Result{CallID: "b", Content: []llm.Block{}}},
			{Kind: llm.Text, Text: "and"},
			{Kind: llm.ToolResult, Result: &llm.Result{CallID: "a", Failed: true, Content: []llm.Block{
				{Kind: llm.Text, Text: `{"x":[1,2]}`}, {Kind: llm.Text, Text: "late"},
				{Kind: llm.Image, Media: &llm.Media{Format: "gif", Data: []byte{1}, Place: "messages.2.content.2.toolResult.content.2"}},
				{Kind: llm.Document, Media: &llm.Media{Format: "html", Name: "d", Data: []byte{2}, Place: "messages.2.content.2.toolResult.content.3"}},
				{Kind: llm.Text, Text: "Search result: t\nSource: s\n\nc"},
			}}},
		}},
		"reasoning": {[]string{`{"text":"a"}`, `{"reasoningContent":{"reasoningText":{"text":"hm","signature":"sig"}}},{"reasoningContent":{"redactedContent":"AQI="}},{"text":"b"}`}, []llm.Block{
			{Kind: llm.Reasoning, Text: "hm", Signature: "sig"}, {Kind: llm.Reasoning, Redacted: []byte{1, 2}}, {Kind: llm.Text, Text: "b"},
		}},
		"citations": {[]string{`{"text":"a"}`, `{"citationsContent":{"content":[{"text":"The grass "},{"text":"is green."}],"citations":[{"title":"x","location":{"web":{"url":"u"}}}]}}`}, []llm.Block{
			{Kind: llm.Text, Text: "The grass is green."},
		}},
		"assistant's guarded text": {[]string{`{"text":"a"}`, `{"guardContent":{"text":{"text":"b"}}}`}, []llm.Block{{Kind: llm.Text, Text: "b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := input(t, `{`+turns(c.turns...)+`,`+tools+`}`)
			rd := reader{req: &llm.Request{}}
			if err := rd.messages(in); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, rd.req.Messages[len(c.turns)-1].Content); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestRules has every rule about blocks, tools and turns, and what a request that
// breaks it is told.
func TestRules(t *testing.T) {
	t.Parallel()
	calling := func(calls, results string) string { return turns(`{"text":"a"}`, calls, results) + `,` + tools }
	images := func(n int) string {
		return strings.TrimSuffix(strings.Repeat(`{"image":{"format":"png","source":{"bytes":"AQ=="}}},`, n), ",")
	}
	documents := func(from, n int) string {
		var s string
		for i := range n {
			s += `,{"document":{"name":"d` + strconv.Itoa(from+i) + `","format":"txt","source":{"bytes":"AQ=="}}}`
		}
		return `{"text":"a"}` + s
	}
	named := func(name string) string {
		return turns(`{"text":"a"},{"document":{"name":"` + name + `","format":"txt","source":{"text":"x"}}}`)
	}
	const badName = "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square brackets. The name can't contain more than one consecutive whitespace character. Check that the file name conforms to these restrictions and retry your request."
	const cached = `{"cachePoint":{"type":"default"}}`
	const hour = `{"cachePoint":{"type":"default","ttl":"1h"}}`
	for name, c := range map[string]struct{ in, want string }{
		// Blocks.
		"video":                {turns(`{"text":"a"},{"video":{"format":"mp4","source":{"bytes":"AQ=="}}}`), "This model doesn't support the video content block that you provided at messages.0.content.1. Remove the content block and try again."},
		"audio":                {turns(`{"audio":{"format":"mp3","source":{"bytes":"AQ=="}}}`), "This model doesn't support the audio content block that you provided at messages.0.content.0. Remove the content block and try again."},
		"image of assistant":   {turns(`{"text":"a"}`, images(1)), "Assistant messages can't contain image content blocks. Remove the content block at messages.1.content.0 and try again."},
		"document of it":       {turns(`{"text":"a"}`, documents(0, 1)), "Assistant messages can't contain document content blocks. Remove the content block at messages.1.content.1 and try again."},
		"search result of it":  {turns(`{"text":"a"}`, `{"searchResult":{"source":"s","title":"t","content":[{"text":"c"}]}}`), "Assistant messages can't contain searchResult content blocks. Remove the content block at messages.1.content.0 and try again."},
		"guarded image of it":  {turns(`{"text":"a"}`, `{"guardContent":{"image":{"format":"png","source":{"bytes":"AQ=="}}}}`), "Assistant messages can't contain guardContent content blocks. Remove the content block at messages.1.content.0 and try again."},
		"result of it":         {turns(`{"text":"a"}`, result("a")) + `,` + tools, "Assistant messages can't contain toolResult content blocks. Remove the content block at messages.1.content.0 and try again."},
		"call of user":         {turns(use("a")) + `,` + tools, "User messages can't contain toolUse content blocks. Remove the content block at messages.0.content.0 and try again."},
		"reasoning of user":    {turns(`{"reasoningContent":{"reasoningText":{"text":"a"}}}`), "User messages can't contain reasoningContent content blocks. Remove the content block at messages.0.content.0 and try again."},
		"citations of user":    {turns(`{"citationsContent":{"content":[{"text":"a"}]}}`), "User messages can't contain citationsContent content blocks. Remove the content block at messages.0.content.0 and try again."},
		"empty image source":   {turns(`{"image":{"format":"png","source":{}}}`), "The ImageSource object at messages.0.content.0.image.source must set one of the following keys: bytes, s3Location."},
		"no image source":      {turns(`{"image":{"format":"png"}}`), "The image content block at messages.0.content.0 must have a format and a source."},
		"large image":          {turns(`{"image":{"format":"png","source":{"bytes":"` + b64(maxImageBytes+1) + `"}}}`), "The image at messages.0.content.0 has 3932161 bytes. It can have at most 3932160 bytes. Reduce its size and try again."},
		"many images":          {turns(images(20), `{"text":"a"}`, images(1)), "You can't include more than 20 images in a request."},
		"large document":       {turns(`{"text":"a"},{"document":{"name":"d","format":"txt","source":{"bytes":"` + b64(maxDocumentBytes+1) + `"}}}`), "The document at messages.0.content.1 has 4718593 bytes. It can have at most 4718592 bytes. Reduce its size and try again."},
		"many documents":       {turns(documents(0, 3), `{"text":"a"}`, documents(3, 3)), "You can't include more than 5 documents in a request."},
		"same document":        {turns(documents(0, 1), `{"text":"a"}`, documents(0, 1)), "Messages can't contain duplicate document names. Rename the document and retry your request."},
		"document alone":       {turns(`{"document":{"name":"d","format":"txt","source":{"bytes":"AQ=="}}}`), "A text block must be included when using documents. Add a text block and retry your request."},
		"name with a dot":      {named("a.pdf"), badName},
		"name with two spaces": {named("a  b"), badName},
		"name with an accent":  {named("résumé"), badName},
		"no document name":     {turns(`{"document":{"format":"txt","source":{"bytes":"AQ=="}}}`), "The document content block at messages.0.content.0 must have a name and a source."},
		"no document source":   {turns(`{"document":{"name":"d","format":"txt","source":{}}}`), "The DocumentSource object at messages.0.content.0.document.source must set one of the following keys: bytes, s3Location, text, content."},
		"no document format":   {turns(`{"document":{"name":"d","source":{"bytes":"AQ=="}}}`), "The document content block at messages.0.content.0 must have a format."},
		"blank document":       {turns(`{"document":{"name":"d","source":{"text":" "}}}`), "The text of the document at messages.0.content.0 is blank. Add text to the document, and try again."},
		"empty reasoning":      {turns(`{"text":"a"}`, `{"reasoningContent":{}}`), "The ReasoningContentBlock object at messages.1.content.0.reasoningContent must set one of the following keys: reasoningText, redactedContent."},
		"blank citations":      {turns(`{"text":"a"}`, `{"citationsContent":{"content":[]}}`), "The content field in the citationsContent object at messages.1.content.0 is blank. Add text to the content field, and try again."},
		"blank search result":  {turns(`{"searchResult":{"source":"s","title":"t","content":[{"text":" "}]}}`), "The content field in the searchResult object at messages.0.content.0 is blank. Add text to the content field, and try again."},
		"blank assistant":      {turns(`{"text":"a"}`, `{"text":" "}`, `{"text":"a"}`), "The text field in the ContentBlock object at messages.1.content.0 is blank. Add text to the text field, and try again."},

		// Tools.
		"empty tools":      {turns(`{"text":"a"}`) + `,"toolConfig":{"tools":[]}`, "The tools field at toolConfig.tools has no toolSpec. Add a toolSpec and try again."},
		"only a point":     {turns(`{"text":"a"}`) + `,"toolConfig":{"tools":[` + cached + `]}`, "The tools field at toolConfig.tools has no toolSpec. Add a toolSpec and try again."},
		"system tool":      {turns(`{"text":"a"}`) + `,"toolConfig":{"tools":[{"systemTool":{"name":"nova_grounding"}}]}`, "This model doesn't support the systemTool nova_grounding that you provided at toolConfig.tools.0. Remove it and try again."},
		"empty tool":       {turns(`{"text":"a"}`) + `,"toolConfig":{"tools":[{}]}`, "The Tool object at toolConfig.tools.0 must set one of the following keys: toolSpec, systemTool, cachePoint."},
		"no schema":        {turns(`{"text":"a"}`) + `,"toolConfig":{"tools":[{"toolSpec":{"name":"a"}}]}`, "The toolSpec at toolConfig.tools.0.toolSpec must have a name and an inputSchema."},
		"schema is a list": {turns(`{"text":"a"}`) + `,"toolConfig":{"tools":[{"toolSpec":{"name":"a","inputSchema":{"json":[]}}}]}`, "The format of the value at toolConfig.tools.0.toolSpec.inputSchema.json is invalid. Provide a json object for the field and try again."},
		"schema of a text": {turns(`{"text":"a"}`) + `,"toolConfig":{"tools":[` + clock + `,{"toolSpec":{"name":"a","inputSchema":{"json":{"type":"string"}}}}]}`, "The value at toolConfig.tools.1.toolSpec.inputSchema.json.type must be one of the following: object."},
		"schema untyped":   {turns(`{"text":"a"}`) + `,"toolConfig":{"tools":[{"toolSpec":{"name":"a","inputSchema":{"json":{}}}}]}`, "The value at toolConfig.tools.0.toolSpec.inputSchema.json.type must be one of the following: object."},
		"same tool":        {turns(`{"text":"a"}`) + `,"toolConfig":{"tools":[` + clock + `,` + weather + `,` + clock + `]}`, "The tools at toolConfig.tools contain duplicate names: clock. Rename the tool at toolConfig.tools.2 and try again."},
		"unknown choice":   {turns(`{"text":"a"}`) + `,"toolConfig":{"tools":[` + clock + `],"toolChoice":{"tool":{"name":"sundial"}}}`, "The tool choice sundial at toolConfig.toolChoice.tool.name does not exist in the tools list. Choose a tool of toolConfig.tools and try again."},
		"input is a text":  {calling(`{"toolUse":{"toolUseId":"a","name":"clock","input":"x"}}`, result("a")), "The format of the value at messages.1.content.0.toolUse.input is invalid. Provide a json object for the field and try again."},
		"server's tool":    {calling(`{"toolUse":{"toolUseId":"a","name":"clock","input":{},"type":"server_tool_use"}}`, result("a")), "This model doesn't support the toolUse of the type server_tool_use content block that you provided at messages.1.content.0. Remove the content block and try again."},
		"result is a list": {calling(use("a"), `{"toolResult":{"toolUseId":"a","content":[{"text":"x"},{"json":[1]}]}}`), "The format of the value at messages.2.content.0.toolResult.content.1.json is invalid. Provide a json object for the field and try again."},
		"blank result":     {calling(use("a"), `{"toolResult":{"toolUseId":"a","content":[{"text":""}]}}`), "The text field in the ToolResultContentBlock object at messages.2.content.0.toolResult.content.0 is blank. Add text to the text field, and try again."},
		"video of result":  {calling(use("a"), `{"toolResult":{"toolUseId":"a","content":[{"video":{"format":"mp4","source":{"bytes":"AQ=="}}}]}}`), "This model doesn't support the video content block that you provided at messages.2.content.0.toolResult.content.0. Remove the content block and try again."},
		"failed silently":  {calling(use("a"), `{"toolResult":{"toolUseId":"a","status":"error","content":[]}}`), "The content field at messages.2.content.0.toolResult cannot be empty when status value is error."},

		// Turns with tools.
		"no toolConfig":       {turns(`{"text":"a"}`, use("a"), result("a")), "The toolConfig field must be defined when using toolUse and toolResult content blocks."},
		"result of nothing":   {turns(result("a")) + `,` + tools, "The number of toolResult blocks at messages.0.content exceeds the number of toolUse blocks of previous turn."},
		"too many results":    {calling(use("a"), result("a")+`,`+result("b")), "The number of toolResult blocks at messages.2.content exceeds the number of toolUse blocks of previous turn."},
		"too few results":     {calling(use("a")+`,`+use("b")+`,`+use("c"), result("b")), "Expected toolResult blocks at messages.2.content for the following Ids: a, c"},
		"other result":        {calling(use("a"), result("b")), "Expected toolResult blocks at messages.2.content for the following Ids: a"},
		"no result":           {calling(use("a"), `{"text":"b"}`), "Expected toolResult blocks at messages.2.content for the following Ids: a"},
		"late result":         {turns(`{"text":"a"}`, use("a"), `{"text":"b"}`, `{"text":"c"}`, result("a")) + `,` + tools, "Expected toolResult blocks at messages.2.content for the following Ids: a"},
		"open call":           {turns(`{"text":"a"}`, use("a")) + `,` + tools, "Expected toolResult blocks at messages.2.content for the following Ids: a"},
		"same result":         {calling(use("a")+`,`+use("b"), result("a")+`,`+result("a")), "The toolResult blocks at messages.2.content contain duplicate Ids: a"},
		"same call":           {calling(use("a")+`,`+use("a"), result("a")), "The toolUse blocks at messages.1.content contain duplicate Ids: a"},
		"same call in a turn": {turns(`{"text":"a"}`, use("a"), result("a"), use("a"), result("a")) + `,` + tools, "The toolUse blocks at messages.3.content contain Ids of a previous turn: a"},
		"thoughtful prefill":  {turns(`{"text":"a"}`, `{"reasoningContent":{"reasoningText":{"text":"hm"}}}`), "The last assistant message at messages.1 must end with a text block, which the reply continues."},

		// Cache points.
		"many points":   {turns(`{"text":"a"},`+cached+`,{"text":"b"},`+cached+`,`+cached) + `,"system":[{"text":"s"},` + cached + `],"toolConfig":{"tools":[` + clock + `,` + cached + `]}`, "You can't include more than 4 cachePoint blocks in a request. Remove the cachePoint block at messages.0.content.4 and try again."},
		"longer point":  {turns(`{"text":"a"},`+hour) + `,"system":[{"text":"s"},` + cached + `]`, "The cachePoint block at messages.0.content.1 has the ttl 1h, but a cachePoint block before it has the ttl 5m. A ttl can't be longer than that of the blocks before it, in the order of tools, system and messages."},
		"longer system": {turns(`{"text":"a"}`) + `,"system":[{"text":"s"},` + hour + `],"toolConfig":{"tools":[` + clock + `,` + cached + `]}`, "The cachePoint block at system.1 has the ttl 1h, but a cachePoint block before it has the ttl 5m. A ttl can't be longer than that of the blocks before it, in the order of tools, system and messages."},

		// Additional fields.
		"short budget":        {turns(`{"text":"a"}`) + `,"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":1023}}`, "The model returned the following errors: Malformed input request: #/thinking/budget_tokens: 1023 is not greater or equal to 1024, please reformat your input and try again."},
		"budget over limit":   {turns(`{"text":"a"}`) + `,"inferenceConfig":{"maxTokens":2000},"additionalModelRequestFields":{"reasoning_config":{"type":"enabled","budget_tokens":2000}}`, "The model returned the following errors: `max_tokens` must be greater than `thinking.budget_tokens`."},
		"thinking by force":   {turns(`{"text":"a"}`) + `,"toolConfig":{"tools":[` + clock + `],"toolChoice":{"any":{}}},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2000}}`, "The model returned the following errors: Thinking may not be enabled when tool_choice forces tool use."},
		"budget when off":     {turns(`{"text":"a"}`) + `,"additionalModelRequestFields":{"thinking":{"type":"disabled","budget_tokens":2000}}`, "The model returned the following errors: Malformed input request: #/thinking: extraneous key [budget_tokens] is not permitted, please reformat your input and try again."},
		"penalty":             {turns(`{"text":"a"}`) + `,"additionalModelRequestFields":{"presence_penalty":2.5}`, "The model returned the following errors: Malformed input request: #/presence_penalty: 2.5 is not less or equal to 2, please reformat your input and try again."},
		"native choice":       {turns(`{"text":"a"}`) + `,"additionalModelRequestFields":{"tool_choice":{"type":"some"}}`, "The model returned the following errors: Malformed input request: #/tool_choice/type: some is not a valid enum value, please reformat your input and try again."},
		"choice of nothing":   {turns(`{"text":"a"}`) + `,"additionalModelRequestFields":{"tool_choice":{"type":"any"}}`, "The model returned the following errors: tool_choice: tool_choice may only be specified while providing tools."},
		"unknown native tool": {turns(`{"text":"a"}`) + `,"toolConfig":{"tools":[` + clock + `]},"additionalModelRequestFields":{"tool_choice":{"type":"tool","name":"sundial"}}`, "The model returned the following errors: tool_choice.name: Tool 'sundial' not found in provided tools"},
		"reasoning effort":    {turns(`{"text":"a"}`) + `,"additionalModelRequestFields":{"reasoning_effort":"much"}`, "The model returned the following errors: Malformed input request: #/reasoning_effort: much is not a valid enum value, please reformat your input and try again."},
		"resume of nothing":   {turns(`{"text":"a"}`) + `,"additionalModelRequestFields":{"outcrop_resume":{"text":""}}`, "The model returned the following errors: Malformed input request: #/outcrop_resume/text: expected minLength: 1, actual: 0, please reformat your input and try again."},
		"resume without text": {turns(`{"text":"a"}`) + `,"additionalModelRequestFields":{"outcrop_resume":{}}`, "The model returned the following errors: Malformed input request: #/outcrop_resume: required key [text] not found, please reformat your input and try again."},
		"resume of a prefill": {turns(`{"text":"a"}`, `{"text":"b"}`) + `,"additionalModelRequestFields":{"outcrop_resume":{"text":"c"}}`, "additionalModelRequestFields.outcrop_resume needs a conversation that ends with a user message. Remove the last message and try again."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Codec{}.ConverseRequest(family.Model{}, input(t, `{`+c.in+`}`))
			checkError(t, err, c.want)
		})
	}
}

// TestAccepted has what is near to a rule and keeps it.
func TestAccepted(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"twenty images":         turns(strings.TrimSuffix(strings.Repeat(`{"image":{"format":"png","source":{"bytes":"AQ=="}}},`, 20), ",")),
		"largest image":         turns(`{"image":{"format":"png","source":{"bytes":"` + b64(maxImageBytes) + `"}}}`),
		"document after a tool": turns(`{"text":"a"}`, use("a"), `{"toolResult":{"toolUseId":"a","content":[{"document":{"name":"d","format":"pdf","source":{"bytes":"AQ=="}}}]}}`) + `,` + tools,
		"prefill":               turns(`{"text":"a"}`, `{"text":"b "}`),
		"only thoughts":         turns(`{"text":"a"}`, `{"reasoningContent":{"reasoningText":{"text":"hm"}}}`, `{"text":"b"}`),
		"tools of the past":     turns(`{"text":"a"}`, `{"toolUse":{"toolUseId":"x","name":"forgotten","input":{}}}`, result("x")) + `,` + tools,
		"one hour, then less":   turns(`{"text":"a"},{"cachePoint":{"type":"default","ttl":"5m"}}`) + `,"system":[{"text":"s"},{"cachePoint":{"type":"default","ttl":"1h"}}]`,
	} {
		if _, err := (Codec{}).ConverseRequest(family.Model{ID: "amazon.nova-lite-v1:0"}, input(t, `{`+in+`}`)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTrailingSpaceOfPrefill(t *testing.T) {
	t.Parallel()
	_, err := Codec{}.ConverseRequest(family.Model{ID: "anthropic.claude-3-haiku-20240307-v1:0"}, input(t, `{`+turns(`{"text":"a"}`, `{"text":"b\n"}`)+`}`))
	checkError(t, err, "The model returned the following errors: messages: final assistant content cannot end with trailing whitespace")
}

// TestManyOpenCalls checks that a message stays short however many calls wait.
func TestManyOpenCalls(t *testing.T) {
	t.Parallel()
	var calls []string
	for i := range 3000 {
		calls = append(calls, use("tooluse_"+strings.Repeat("x", 50)+strconv.Itoa(i)))
	}
	_, err := Codec{}.ConverseRequest(family.Model{}, input(t, `{`+turns(`{"text":"a"}`, strings.Join(calls, ","), `{"text":"b"}`)+`,`+tools+`}`))
	if err == nil || len(err.Error()) > 4096 || !strings.HasSuffix(err.Error(), " and 2960 more") {
		t.Errorf("got %.200v", err)
	}
}

// TestEmptyUnions has unions that the tables refuse before the codec sees them.
func TestEmptyUnions(t *testing.T) {
	t.Parallel()
	in := input(t, `{`+hello+`,`+tools+`}`)
	in.ToolConfig.ToolChoice = &rt.ToolChoice{}
	_, err := Codec{}.ConverseRequest(family.Model{}, in)
	checkError(t, err, "The ToolChoice object at toolConfig.toolChoice must set one of the following keys: auto, any, tool.")

	in = input(t, `{`+turns(`{"text":"a"}`, use("a"), result("a"))+`,`+tools+`}`)
	in.Messages[2].Content[0].ToolResult.Content[0] = rt.ToolResultContentBlock{}
	_, err = Codec{}.ConverseRequest(family.Model{}, in)
	checkError(t, err, "The ToolResultContentBlock object at messages.2.content.0.toolResult.content.0 must set one of the following keys: json, text, image, document, video, searchResult.")
}
