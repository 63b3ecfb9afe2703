package restjson

import (
	"time"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// The toy service has every kind, place and constraint that the codec knows.

type toyIn struct {
	Label   *string
	When    *time.Time // query
	Flag    *bool      // query
	Count   *int64     // query
	Ratio   *float64   // query
	Names   []string   // query
	Days    []time.Time
	Head    *string // header
	Raw     []byte  // header
	Date    *time.Time
	Size    *int32 // header
	Token   *string
	Needed  *string
	Text    *string
	Secret  *string
	Color   *color
	Shape   *string
	Bytes   []byte
	Int     *int32
	Long    *int64
	Float   *float32
	Double  *float64
	List    []string
	Map     map[string]string
	Pick    *pick
	Inner   *inner
	Inners  []inner
	ByName  map[string]inner
	Hidden  *inner
	Time    *time.Time
	Epoch   *time.Time
	Doc     awsapi.Document
	Docs    []awsapi.Document
	Rename  *string
	Blank   *string
	BadCode *string
}

type color string

type pick struct {
	A *string
	B *inner
}

type inner struct {
	Needed *string
	Deep   *inner
}

type toyOut struct {
	Status *int32
	Head   *string
	At     *time.Time
	Text   *string
	Doc    awsapi.Document
	Time   *time.Time
	List   []*string
	Map    map[string]*inner
	Double *float64
}

type payloadOut struct {
	Type *string
	Body []byte
}

type structOut struct{ Body *inner }

type streamOut struct{ Stream awsapi.Events }

type toyEvent struct {
	Note   *inner
	Bytes  *eventBytes
	Broken *struct{ Message *string }
}

type eventBytes struct{ Bytes []byte }

const (
	toyString = awsapi.ShapeID(iota + 1)
	toyInput
	toyTimestamp
	toyBool
	toyLong
	toyDouble
	toyNames
	toyDays
	toyBlob
	toyInt
	toyText
	toySecret
	toyColor
	toyPattern
	toyBytes
	toyIntRange
	toyLongRange
	toyFloatRange
	toyDoubleRange
	toyList
	toyMap
	toyMapKey
	toyMapValue
	toyPick
	toyInner
	toyInners
	toyByName
	toyDoc
	toyDocs
	toyBadPattern
	toyOutput
	toyPointers
	toyInnerMap
	toyPayload
	toyStruct
	toyStream
	toyStreamOut
	toyEventBytes
	toyBroken
	toyShapes
)

func toy() *awsapi.Service {
	m := func(name string, id awsapi.ShapeID) awsapi.Member { return awsapi.Member{Name: name, Shape: id} }
	at := func(name string, id awsapi.ShapeID, loc awsapi.Location, wire string) awsapi.Member {
		return awsapi.Member{Name: name, Shape: id, Location: loc, WireName: wire}
	}
	length := func(s awsapi.Shape, min, max float64) awsapi.Shape {
		s.HasMin, s.HasMax, s.Min, s.Max = true, true, min, max
		return s
	}
	needed := m("needed", toyString)
	needed.Required = true
	token := m("token", toyString)
	token.IdempotencyToken = true
	hidden := m("hidden", toyInner)
	hidden.Sensitive = true
	epoch := m("epoch", toyTimestamp)
	epoch.TimestampFormat = "unixTimestamp"
	shapes := make([]awsapi.Shape, toyShapes)
	for id, s := range map[awsapi.ShapeID]awsapi.Shape{
		toyString: {Name: "String", Kind: awsapi.String},
		toyInput: {Name: "Input", Kind: awsapi.Structure, Members: []awsapi.Member{
			at("label", toyString, awsapi.InURI, ""),
			at("when", toyTimestamp, awsapi.InQuery, ""),
			at("flag", toyBool, awsapi.InQuery, ""),
			at("count", toyLong, awsapi.InQuery, ""),
			at("ratio", toyDouble, awsapi.InQuery, ""),
			at("names", toyNames, awsapi.InQuery, "name"),
			at("days", toyDays, awsapi.InQuery, "day"),
			at("head", toyString, awsapi.InHeader, "X-Head"),
			at("raw", toyBlob, awsapi.InHeader, "x-raw"),
			at("date", toyTimestamp, awsapi.InHeader, "x-date"),
			at("size", toyInt, awsapi.InHeader, "x-size"),
			token, needed,
			m("text", toyText), m("secret", toySecret), m("color", toyColor), m("shape", toyPattern), m("bytes", toyBytes),
			m("int", toyIntRange), m("long", toyLongRange), m("float", toyFloatRange), m("double", toyDoubleRange),
			m("list", toyList), m("map", toyMap), m("pick", toyPick), m("inner", toyInner), m("inners", toyInners), m("byName", toyByName),
			hidden, m("time", toyTimestamp), epoch, m("doc", toyDoc), m("docs", toyDocs),
			{Name: "rename", WireName: "re\"name", Shape: toyString},
			m("blank", toyString), m("badCode", toyBadPattern),
		}},
		toyTimestamp:   {Name: "Timestamp", Kind: awsapi.Timestamp},
		toyBool:        {Name: "Bool", Kind: awsapi.Boolean},
		toyLong:        {Name: "Long", Kind: awsapi.Long},
		toyDouble:      {Name: "Double", Kind: awsapi.Double},
		toyNames:       {Name: "Names", Kind: awsapi.List, Elem: toyString},
		toyDays:        {Name: "Days", Kind: awsapi.List, Elem: toyTimestamp},
		toyBlob:        {Name: "Blob", Kind: awsapi.Blob},
		toyInt:         {Name: "Int", Kind: awsapi.Integer},
		toyText:        length(awsapi.Shape{Name: "Text", Kind: awsapi.String}, 2, 4),
		toySecret:      {Name: "Secret", Kind: awsapi.String, Pattern: "[a-z]+", Sensitive: true},
		toyColor:       {Name: "Color", Kind: awsapi.String, Enum: []string{"red", "green"}},
		toyPattern:     {Name: "Pattern", Kind: awsapi.String, Pattern: "a+|b"},
		toyBytes:       length(awsapi.Shape{Name: "Bytes", Kind: awsapi.Blob}, 2, 4),
		toyIntRange:    length(awsapi.Shape{Name: "IntRange", Kind: awsapi.Integer}, 2, 4),
		toyLongRange:   length(awsapi.Shape{Name: "LongRange", Kind: awsapi.Long}, -1<<40, 1<<40),
		toyFloatRange:  length(awsapi.Shape{Name: "FloatRange", Kind: awsapi.Float}, 0, 1),
		toyDoubleRange: length(awsapi.Shape{Name: "DoubleRange", Kind: awsapi.Double}, -0.5, 0.5),
		toyList:        length(awsapi.Shape{Name: "List", Kind: awsapi.List, Elem: toyText}, 1, 2),
		toyMap:         length(awsapi.Shape{Name: "Map", Kind: awsapi.Map, Key: toyMapKey, Elem: toyMapValue}, 1, 2),
		toyMapKey:      length(awsapi.Shape{Name: "MapKey", Kind: awsapi.String}, 1, 3),
		toyMapValue:    length(awsapi.Shape{Name: "MapValue", Kind: awsapi.String}, 0, 2),
		toyPick:        {Name: "Pick", Kind: awsapi.Union, Members: []awsapi.Member{m("a", toyText), m("b", toyInner)}},
		toyInner:       {Name: "Inner", Kind: awsapi.Structure, Members: []awsapi.Member{needed, m("deep", toyInner)}},
		toyInners:      {Name: "Inners", Kind: awsapi.List, Elem: toyInner},
		toyByName:      {Name: "ByName", Kind: awsapi.Map, Key: toyString, Elem: toyInner},
		toyDoc:         {Name: "Doc", Kind: awsapi.JSON},
		toyDocs:        {Name: "Docs", Kind: awsapi.List, Elem: toyDoc},
		toyBadPattern:  {Name: "BadPattern", Kind: awsapi.String, Pattern: "("},
		toyOutput: {Name: "Output", Kind: awsapi.Structure, Members: []awsapi.Member{
			at("status", toyInt, awsapi.InStatusCode, ""),
			at("head", toyString, awsapi.InHeader, "x-head"),
			at("at", toyTimestamp, awsapi.InHeader, "x-at"),
			m("text", toyString), m("doc", toyDoc), m("time", toyTimestamp), m("list", toyPointers), m("map", toyInnerMap), m("double", toyDouble),
		}},
		toyPointers: {Name: "Pointers", Kind: awsapi.List, Elem: toyString},
		toyInnerMap: {Name: "InnerMap", Kind: awsapi.Map, Key: toyString, Elem: toyInner},
		toyPayload: {Name: "Payload", Kind: awsapi.Structure, Members: []awsapi.Member{
			at("type", toyString, awsapi.InHeader, "Content-Type"), at("body", toyBlob, awsapi.InPayload, ""),
		}},
		toyStruct:     {Name: "Struct", Kind: awsapi.Structure, Members: []awsapi.Member{at("body", toyInner, awsapi.InPayload, "")}},
		toyStream:     {Name: "Stream", Kind: awsapi.Union, EventStream: true, Members: []awsapi.Member{m("note", toyInner), m("bytes", toyEventBytes), m("brokenException", toyBroken)}},
		toyStreamOut:  {Name: "StreamOut", Kind: awsapi.Structure, Members: []awsapi.Member{at("stream", toyStream, awsapi.InPayload, "")}},
		toyEventBytes: {Name: "EventBytes", Kind: awsapi.Structure, Members: []awsapi.Member{m("bytes", toyBlob)}},
		toyBroken:     {Name: "BrokenException", Kind: awsapi.Structure, Error: &awsapi.ErrorFacts{Status: 424}, Members: []awsapi.Member{m("message", toyString)}},
	} {
		shapes[id] = s
	}
	return &awsapi.Service{Name: "toy", Protocol: "rest-json", Shapes: shapes, Operations: []awsapi.Operation{
		{Name: "Do", Method: "POST", URI: "/do/{label}", Status: 200, Input: toyInput, Output: toyOutput},
		{Name: "Blob", Method: "POST", URI: "/blob", Status: 200, Input: 0, Output: toyPayload},
		{Name: "Struct", Method: "POST", URI: "/struct", Status: 201, Input: toyStruct, Output: toyStruct},
		{Name: "Stream", Method: "POST", URI: "/stream", Status: 200, Input: 0, Output: toyStreamOut},
		{Name: "None", Method: "POST", URI: "/none", Status: 0},
		{Name: "Gone", Method: "POST", URI: "/gone", Status: 204, Output: toyOutput},
	}}
}
