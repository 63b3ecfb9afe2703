// Package llm is the canonical conversation: what every model family is turned
// into and what every engine understands. It does no I/O and knows no AWS type.
package llm

import (
	"iter"
	"strings"
	"time"
)

// Role says who speaks in a turn.
type Role string

// The roles of a conversation. System text is in Request.System.
const (
	User      Role = "user"
	Assistant Role = "assistant"
)

// BlockKind is the type of one piece of content.
type BlockKind uint8

// The kinds of content.
const (
	Text       BlockKind = iota + 1
	Image                // of the user
	Document             // of the user; the pipeline turns it into Text
	ToolCall             // of the assistant: the wish to use a tool
	ToolResult           // of the user: what a tool answered
	Reasoning            // of the assistant: thoughts before the reply
)

// Block is one piece of content of a message. The comments tell which kinds use
// a field.
type Block struct {
	Kind      BlockKind
	Text      string  `json:",omitempty"` // Text, Reasoning
	Media     *Media  `json:",omitempty"` // Image, Document
	Call      *Call   `json:",omitempty"` // ToolCall
	Result    *Result `json:",omitempty"` // ToolResult
	Signature string  `json:",omitempty"` // Reasoning: opaque, made by whoever made the text
	Redacted  []byte  `json:",omitempty"` // Reasoning: opaque thoughts without text
}

// Media is an image or a document as the caller gave it. Exactly one of Data,
// URI and Text is set.
type Media struct {
	Format  string // as Converse names it: "png", "jpeg", "gif", "webp"; "pdf", "csv", "docx", ...
	Name    string `json:",omitempty"` // of a document, for the model
	Context string `json:",omitempty"` // of a document: what the caller says about it
	Data    []byte `json:",omitempty"`
	URI     string `json:",omitempty"` // "s3://bucket/key"; the pipeline reads it
	Text    string `json:",omitempty"` // a document that is text already
	// Place names the block in errors, e.g. "messages.0.content.1".
	Place string `json:",omitempty"`
}

// Call is the wish to use a tool.
type Call struct {
	ID    string // 1..64 characters, unique in the conversation
	Name  string
	Input []byte `json:",omitempty"` // one JSON object
}

// Result is what a tool answered.
type Result struct {
	CallID  string  // Call.ID
	Failed  bool    `json:",omitempty"`
	Content []Block // Text, Image, Document
}

// Tool is a function that the model may ask the caller to run.
type Tool struct {
	Name        string
	Description string
	Schema      []byte // JSON Schema of the input, an object
	Strict      bool   `json:",omitempty"` // inputs must fit Schema also when the model chooses freely
}

// ChoiceKind says whether a reply uses tools.
type ChoiceKind uint8

// The kinds of choice.
const (
	ChooseAuto  ChoiceKind = iota // the model decides
	ChooseAny                     // at least one call, of any tool
	ChooseNamed                   // a call of one tool
	ChooseNone                    // no call, though tools are told
)

// Choice says whether and which tools a reply uses.
type Choice struct {
	Kind ChoiceKind
	Name string `json:",omitempty"` // ChooseNamed
}

// Format asks for a reply that is one JSON text.
type Format struct {
	Schema []byte // JSON Schema; nil means any object
	Name   string `json:",omitempty"`
}

// Thinking asks for reasoning before the reply. Weights that cannot reason
// answer without it.
type Thinking struct {
	Budget int    `json:",omitempty"` // tokens of reasoning at most; 0 means the weights' own
	Effort string `json:",omitempty"` // "low", "medium", "high"; "" means the weights' own
	Off    bool   `json:",omitempty"` // no reasoning, from weights that reason by themselves
}

// Mark is a place in a conversation, behind everything in front of block Block
// of message Message. {0, 0} is behind tools and system text.
type Mark struct {
	Message int
	Block   int
}

// Message is one turn. A last turn by Assistant is a prefill: the model
// continues it.
type Message struct {
	Role    Role
	Content []Block
}

// Params steer sampling. A nil pointer means the default of the weights.
type Params struct {
	MaxTokens   *int     // tokens; at least 1
	Temperature *float64 // 0 means greedy
	TopP        *float64 // 0..1
	TopK        *int     // 0 means off
	Stop        []string // texts that end the reply; never part of it
	Seed        *int64
	// Penalties of tokens that have come already, -2..2; nil means none.
	FrequencyPenalty *float64 `json:",omitempty"`
	PresencePenalty  *float64 `json:",omitempty"`
}

// Request asks for one reply.
type Request struct {
	System   []string
	Messages []Message
	Params   Params
	// BuiltinStop are stop texts that the family adds (Claude's "\n\nHuman:").
	// A hit ends the turn like the model's own end: StopReason EndTurn, with
	// the text in Response.StopSequence.
	BuiltinStop []string

	Tools    []Tool    `json:",omitempty"`
	Choice   Choice    `json:",omitzero"`
	Format   *Format   `json:",omitempty"`
	Thinking *Thinking `json:",omitempty"`
	// Cache is the last cache point: what stands before it may be read from and
	// written to the cache of prompts, and is told apart in Usage. nil means none.
	Cache *Mark `json:",omitempty"`
	// Raw is a prompt in the template of the weights themselves. It goes to them
	// as it is, control tokens included; System, Messages and Tools are empty.
	Raw string `json:",omitempty"`
	// Logprobs asks for Event.Logprob.
	Logprobs bool `json:",omitempty"`
	// Grammar, in GBNF, is what the text of the reply must follow. The pipeline
	// sets it; families ask through Choice and Format. Tools beside a grammar are
	// told to the model, but the engine looks for no call in the text.
	Grammar string `json:",omitempty"`
}

// StopReason says why a reply ended.
type StopReason string

// The reasons of Converse; families map them to their own words.
const (
	EndTurn               StopReason = "end_turn"
	MaxTokens             StopReason = "max_tokens"
	StopSequence          StopReason = "stop_sequence"
	ToolUse               StopReason = "tool_use"
	ContentFiltered       StopReason = "content_filtered"
	GuardrailIntervened   StopReason = "guardrail_intervened"
	ContextWindowExceeded StopReason = "model_context_window_exceeded"
	MalformedOutput       StopReason = "malformed_model_output"
	MalformedToolUse      StopReason = "malformed_tool_use"
)

// Usage counts tokens by the model's own tokenizer.
type Usage struct {
	InputTokens  int // the whole prompt, template included
	OutputTokens int // every token the model made, the end token included
	// ReusedTokens is the part of the prompt that the engine took from its own
	// cache. It is a fact for metering and tests; it is not what Bedrock calls
	// cacheRead, which only exists where a cachePoint stands.
	ReusedTokens int
	// CacheRead and CacheWrite are the parts of InputTokens before Request.Cache
	// that the engine took from its cache and that it read anew. The pipeline sets
	// them; without a cache point they are 0. Bedrock's inputTokens are the rest.
	CacheRead, CacheWrite int
}

// Uncached is InputTokens less what a cache point covers: what Bedrock calls
// inputTokens.
func (u Usage) Uncached() int { return u.InputTokens - u.CacheRead - u.CacheWrite }

// EventKind is the type of a stream event.
type EventKind uint8

// The events of a reply, in order: Start, (BlockStart, Delta..., BlockStop)...,
// Stop, Done.
const (
	Start      EventKind = iota + 1 // the engine accepted the prompt; Usage.InputTokens may be set
	BlockStart                      // Index, Block, Call
	Delta                           // Index, Block, Text, Logprob
	BlockStop                       // Index, Block, Signature
	Stop                            // Reason, StopSequence
	Done                            // Usage, Latency, FirstToken
)

// Event is one step of a reply as it is made.
type Event struct {
	Kind         EventKind
	Index        int       // content block, from 0
	Block        BlockKind // Text (also when 0), ToolCall or Reasoning
	Text         string    // Delta: text, reasoning, or a piece of the call's JSON input
	Call         *Call     // BlockStart of a ToolCall: ID and Name
	Signature    string    // BlockStop of Reasoning
	Logprob      *float64  // Delta: natural logarithm of the token's probability, when asked for
	Reason       StopReason
	StopSequence string // the stop text that was hit, "" if none
	Usage        Usage
	Latency      time.Duration // whole inference, queueing excluded
	FirstToken   time.Duration // until the first Delta
	Served       *Served       // Start: where the reply is made; nil: the engine does not tell
}

// Served tells where a reply is made.
type Served struct {
	Server string        // name of the server of a pool; "" for an engine of this process
	Region string        // of the server; "" when servers have none
	Queued time.Duration // how long the request waited for its turn
	// Weights are those that make the reply when they are others than the ones asked
	// for; "" when they are the same.
	Weights string
	// File is the name, without its folder, of the model file that the process has
	// loaded: not the one that is installed when that was replaced since. "" means that
	// the engine does not tell.
	File string
}

// Response is a whole reply.
type Response struct {
	Content      []Block
	Pieces       []Piece // of the text, when Request.Logprobs was set
	Reason       StopReason
	StopSequence string
	Usage        Usage
	Latency      time.Duration
	FirstToken   time.Duration
}

// Piece is one token of a reply's text.
type Piece struct {
	Text    string
	Logprob float64
}

// Text joins the text blocks of the reply.
func (r *Response) Text() string {
	if len(r.Content) == 1 && r.Content[0].Kind == Text {
		return r.Content[0].Text
	}
	var b strings.Builder
	for i := range r.Content {
		if r.Content[i].Kind == Text {
			b.WriteString(r.Content[i].Text)
		}
	}
	return b.String()
}

// EmbedRequest asks for one vector per text, or per image.
type EmbedRequest struct {
	Texts  []string
	Images []Media `json:",omitempty"` // when set, Texts has one text or none for each
	// Check, when set, is called with the tokens of all texts before a vector is
	// made. Its error ends the call.
	Check func(tokens []int) error `json:"-"`
}

// EmbedResponse holds the vectors in the order of the texts. Vectors have the
// dimension of the weights and length 1.
type EmbedResponse struct {
	Vectors [][]float32
	Tokens  []int // input tokens of each text
	Latency time.Duration
}

// Events is a reply in progress. Ending the range cancels it upstream.
type Events = iter.Seq2[Event, error]

// Fail is a stream that yields err and ends.
func Fail(err error) Events {
	return func(yield func(Event, error) bool) { yield(Event{}, err) }
}

// Collect reads a stream to its end and returns the whole reply. The first
// error ends it; what was read until then is returned beside it.
func Collect(events Events) (*Response, error) {
	r := &Response{}
	var one [1]collected // nearly every reply has one block
	open := one[:0]
	for ev, err := range events {
		if err != nil {
			r.join(open)
			return r, err
		}
		switch ev.Kind {
		case BlockStart, Delta, BlockStop:
			for len(open) <= ev.Index {
				open = append(open, collected{})
			}
			open[ev.Index].take(&ev)
			if ev.Logprob != nil {
				r.Pieces = append(r.Pieces, Piece{Text: ev.Text, Logprob: *ev.Logprob})
			}
		case Stop:
			r.Reason, r.StopSequence = ev.Reason, ev.StopSequence
		case Done:
			r.Usage, r.Latency, r.FirstToken = ev.Usage, ev.Latency, ev.FirstToken
		}
	}
	r.join(open)
	return r, nil
}

// collectRoom is what a block has room for at first, in bytes.
const collectRoom = 256

// collected is one block while it comes.
type collected struct {
	block Block
	text  []byte
	began bool // a block without a delta counts when it is no text
}

func (c *collected) take(ev *Event) {
	switch ev.Kind {
	case BlockStart:
		c.block.Kind, c.block.Call = ev.Block, ev.Call
	case Delta:
		c.began = true
		if c.text == nil {
			c.text = make([]byte, 0, collectRoom)
		}
		c.text = append(c.text, ev.Text...)
	case BlockStop:
		c.block.Signature = ev.Signature
	}
}

func (r *Response) join(open []collected) {
	for i := range open {
		b := open[i].block
		switch b.Kind {
		case ToolCall:
			call := *b.Call
			call.Input = open[i].text
			b.Call = &call
		case Reasoning:
			b.Text = string(open[i].text)
		default:
			if !open[i].began {
				continue
			}
			b.Kind, b.Text = Text, string(open[i].text)
		}
		r.Content = append(r.Content, b)
	}
}
