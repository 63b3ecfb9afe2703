package awsquery

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// all has one member of each kind.
type all struct {
	S  *string
	I  *int32
	L  *int64
	F  *float32
	D  *float64
	B  *bool
	Bl []byte
	T  *time.Time
	Ls []string
	Lp []pair
	M  map[string]string
	Mp map[string]pair
	P  *pair
}

type pair struct {
	Key   *string
	Value *string
}

func kinds() (*awsapi.Service, *awsapi.Operation) {
	s := &awsapi.Service{
		Name: "toy", Protocol: "query", XMLNamespace: "urn:toy",
		Shapes: []awsapi.Shape{
			{},
			{Name: "All", Kind: awsapi.Structure, Members: []awsapi.Member{
				{Name: "S", Shape: 3}, {Name: "I", Shape: 4}, {Name: "L", Shape: 5}, {Name: "F", Shape: 6}, {Name: "D", Shape: 7}, {Name: "B", Shape: 8},
				{Name: "Bl", Shape: 9}, {Name: "T", Shape: 10}, {Name: "Ls", Shape: 11}, {Name: "Lp", Shape: 12}, {Name: "M", Shape: 13}, {Name: "Mp", Shape: 14}, {Name: "P", Shape: 2},
			}},
			{Name: "Pair", Kind: awsapi.Structure, Members: []awsapi.Member{{Name: "Key", Shape: 3}, {Name: "Value", Shape: 3}}},
			{Name: "S", Kind: awsapi.String}, {Name: "I", Kind: awsapi.Integer}, {Name: "L", Kind: awsapi.Long}, {Name: "F", Kind: awsapi.Float}, {Name: "D", Kind: awsapi.Double}, {Name: "B", Kind: awsapi.Boolean},
			{Name: "Bl", Kind: awsapi.Blob}, {Name: "T", Kind: awsapi.Timestamp},
			{Name: "Ls", Kind: awsapi.List, Elem: 3}, {Name: "Lp", Kind: awsapi.List, Elem: 2},
			{Name: "M", Kind: awsapi.Map, Key: 3, Elem: 3}, {Name: "Mp", Kind: awsapi.Map, Key: 3, Elem: 2},
		},
	}
	return s, &awsapi.Operation{Name: "Do", Input: 1, Output: 1}
}

func decodeForm(t testing.TB, form string) (*all, error) {
	t.Helper()
	svc, op := kinds()
	p, err := Parse("", []byte(form))
	if err != nil {
		return nil, err
	}
	in := new(all)
	return in, Decode(svc, op, p, in)
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for form, want := range map[string]all{
		"":                                    {},
		"S=":                                  {S: new("")},
		"S=a+b%20c%2B":                        {S: new("a b c+")},
		"Unknown.x.1=5":                       {},
		"I=-5&L=5&B=true":                     {I: new(int32(-5)), L: new(int64(5)), B: new(true)},
		"F=0.5&D=1e3":                         {F: new(float32(0.5)), D: new(1000.0)},
		"Bl=%2F%2F8%3D":                       {Bl: []byte{255, 255}},
		"T=2024-01-31T12%3A00%3A00.5%2B01:00": {T: new(time.Date(2024, 1, 31, 11, 0, 0, 5e8, time.UTC))},
		"T=1706702400.25":                     {T: new(time.Date(2024, 1, 31, 12, 0, 0, 25e7, time.UTC))},
		"Ls=":                                 {Ls: []string{}},
		"Ls.member.1=a&Ls.member.2=b":         {Ls: []string{"a", "b"}},
		"Ls.member.10=k&Ls.member.9=j&Ls.member.7=":               {Ls: []string{"", "j", "k"}},
		"Lp.member.1.Key=k&Lp.member.1.Value=v&Lp.member.2.Key=l": {Lp: []pair{{new("k"), new("v")}, {Key: new("l")}}},
		"M=": {M: map[string]string{}},
		"M.entry.1.key=a&M.entry.1.value=b&M.entry.2.key=&M.entry.2.value=": {M: map[string]string{"a": "b", "": ""}},
		"Mp.entry.1.key=a&Mp.entry.1.value.Key=k":                           {Mp: map[string]pair{"a": {Key: new("k")}}},
		"P.Key=k&&P.Value=a%3Db":                                            {P: &pair{new("k"), new("a=b")}},
		"P=":                                                                {P: &pair{}},
	} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			got, err := decodeForm(t, form)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range maxParams + 1 {
		b.WriteString("&x" + strconv.Itoa(i) + "=1")
	}
	for form, want := range map[string]string{
		"S=%2":                   codeMalformed,
		"S=%":                    codeMalformed,
		"S=%zz":                  codeMalformed,
		"%zz=a":                  codeMalformed,
		"S=%FF":                  codeMalformed,
		"S=a;I=5":                codeMalformed,
		"S=a&S=b":                codeMalformed,
		"S=a&%53=b":              codeMalformed,
		strings.Repeat("a.", 16): codeMalformed,
		b.String():               codeMalformed,
		"I=x":                    "'I' must be an integer of at most 32 bits",
		"I=2147483648":           "'I' must be an integer",
		"L=1.5":                  "'L' must be an integer of at most 64 bits",
		"F=1e39":                 "'F' must be a number",
		"D=":                     "'D' must be a number",
		"B=1":                    "'B' must be true or false",
		"Bl=%3F":                 "'Bl' must be base64",
		"T=yesterday":            "'T' must be a timestamp",
		"T=NaN":                  "'T' must be a timestamp",
		"T=1e300":                "'T' must be a timestamp",
		"S.x=5":                  "'S' must be a single value",
		"Ls=a":                   "'Ls' must be given as Ls.member.1",
		"Ls.member.0=a":          "'Ls' must be numbered from 1",
		"Ls.member.01=a":         "'Ls' must be numbered from 1",
		"Ls.member.x=a":          "'Ls' must be numbered from 1",
		"Ls.member.1.x=a":        "'Ls.member.1' must be a single value",
		"Lp.member.1.Key.x=a":    "'Lp.member.1.Key' must be a single value",
		"M.entry.1.key=a":        "'M.entry.1' must be a key with a value",
		"M.entry.1.value=a":      "'M.entry.1' must be a key with a value",
		"M.entry.1.key=a&M.entry.1.value=b&M.entry.2.key=a&M.entry.2.value=c": "'M.entry.2.key' must be different",
	} {
		t.Run(form[:min(len(form), 40)], func(t *testing.T) {
			t.Parallel()
			_, err := decodeForm(t, form)
			e, ok := errors.AsType[*apierr.Error](err)
			if !ok || e.Status != 400 || !strings.Contains(e.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

func TestParseTakesTheQueryString(t *testing.T) {
	t.Parallel()
	p, err := Parse("Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Signature=abc", nil)
	if err != nil || p.Action() != "GetCallerIdentity" || p.Version() != "2011-06-15" || p.Get("X-Amz-Signature") != "abc" || p.Get("none") != "" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := Parse("Action=A", []byte("Action=B")); err == nil {
		t.Error("an action in both places is accepted")
	}
}

func TestAppendOutput(t *testing.T) {
	t.Parallel()
	svc, op := kinds()
	got, err := AppendOutput([]byte("kept "), svc, op, &all{
		S: new("<&>\"'\x01\xff\u0085"), I: new(int32(-1)), L: new(int64(1) << 40), F: new(float32(0.1)), D: new(1e21), B: new(false), Bl: []byte{255, 255},
		T: new(time.Date(2024, 1, 31, 12, 0, 0, 0, time.FixedZone("", 3600))), Ls: []string{"a", ""}, Lp: []pair{{Key: new("k")}},
		M: map[string]string{"b": "2", "a": "1"}, Mp: map[string]pair{"x": {}}, P: &pair{},
	}, "id<1>")
	if err != nil {
		t.Fatal(err)
	}
	want := "kept <DoResponse xmlns=\"urn:toy\"><DoResult><S>&lt;&amp;&gt;&#34;&#39;\ufffd\ufffd\u0085</S><I>-1</I><L>1099511627776</L><F>0.1</F><D>1e+21</D><B>false</B><Bl>//8=</Bl>" +
		"<T>2024-01-31T11:00:00Z</T><Ls><member>a</member><member></member></Ls><Lp><member><Key>k</Key></member></Lp>" +
		"<M><entry><key>a</key><value>1</value></entry><entry><key>b</key><value>2</value></entry></M><Mp><entry><key>x</key><value></value></entry></Mp><P></P></DoResult>" +
		"<ResponseMetadata><RequestId>id&lt;1&gt;</RequestId></ResponseMetadata></DoResponse>"
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
	op.Output = 0
	if got, err := AppendOutput(nil, svc, op, nil, "r"); err != nil || string(got) != `<DoResponse xmlns="urn:toy"><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DoResponse>` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestAppendError(t *testing.T) {
	t.Parallel()
	got, status := AppendError(nil, &sts.Model, apierr.Validation("a<b"), "r1")
	want := `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>ValidationError</Code><Message>a&lt;b</Message></Error><RequestId>r1</RequestId></ErrorResponse>`
	if string(got) != want || status != 400 {
		t.Errorf("%d %s", status, got)
	}
	got, status = AppendError(nil, nil, apierr.From(errors.New("x")), "r1")
	if status != 500 || !strings.Contains(string(got), "<Type>Receiver</Type>") || !strings.HasPrefix(string(got), "<ErrorResponse><Error>") {
		t.Errorf("%d %s", status, got)
	}
}

func TestMisfitsAreErrors(t *testing.T) {
	t.Parallel()
	svc, op := kinds()
	p, err := Parse("P.Key=a", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, dst := range []any{nil, all{}, new(pair), (*all)(nil), new(int)} {
		if err := Decode(svc, op, p, dst); err == nil {
			t.Errorf("%T accepted as input", dst)
		}
		if _, err := AppendOutput(nil, svc, op, dst, "r"); err == nil {
			t.Errorf("%T accepted as output", dst)
		}
	}
	if err := Decode(svc, &awsapi.Operation{Name: "None"}, p, nil); err != nil {
		t.Error(err)
	}
}

// encodeForm writes v the way the SDKs do, for the round trip of FuzzDecode.
func encodeForm(out url.Values, name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			encodeForm(out, name, v.Elem())
		}
	case reflect.Struct:
		if tm, ok := v.Interface().(time.Time); ok {
			out.Set(name, tm.Format(time.RFC3339Nano))
			return
		}
		if name != "" && v.IsZero() {
			out.Set(name, "")
		}
		for i := range v.NumField() {
			encodeForm(out, strings.TrimPrefix(name+"."+v.Type().Field(i).Name, "."), v.Field(i))
		}
	case reflect.Slice:
		if v.IsNil() {
			return
		}
		if b, ok := v.Interface().([]byte); ok {
			out.Set(name, base64.StdEncoding.EncodeToString(b))
			return
		}
		if v.Len() == 0 {
			out.Set(name, "")
		}
		for i := range v.Len() {
			encodeForm(out, name+".member."+strconv.Itoa(i+1), v.Index(i))
		}
	case reflect.Map:
		if !v.IsNil() && v.Len() == 0 {
			out.Set(name, "")
		}
		for i, k := range v.MapKeys() {
			entry := name + ".entry." + strconv.Itoa(i+1)
			out.Set(entry+".key", k.String())
			encodeForm(out, entry+".value", v.MapIndex(k))
		}
	case reflect.String:
		out.Set(name, v.String())
	case reflect.Bool:
		out.Set(name, strconv.FormatBool(v.Bool()))
	case reflect.Int32, reflect.Int64:
		out.Set(name, strconv.FormatInt(v.Int(), 10))
	case reflect.Float32, reflect.Float64:
		out.Set(name, strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits()))
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("S=a+b&I=5&Ls.member.1=x&Lp.member.2.Key=k&M.entry.1.key=a&M.entry.1.value=b&T=2024-01-31T12:00:00Z&Bl=%2F%2F8%3D")
	f.Add("P.Key=%E2%82%AC&P.Value=&Mp.entry.3.key=k&Mp.entry.3.value.Value=v")
	f.Add("Ls.member.999999999999999999999=x")
	f.Fuzz(func(t *testing.T, form string) {
		in, err := decodeForm(t, form)
		if err != nil {
			if _, ok := errors.AsType[*apierr.Error](err); !ok {
				t.Fatal(err)
			}
			return
		}
		values := make(url.Values)
		encodeForm(values, "", reflect.ValueOf(in).Elem())
		again, err := decodeForm(t, values.Encode())
		if err != nil {
			t.Fatalf("%q: %v", values.Encode(), err)
		}
		if d := cmp.Diff(in, again, cmp.Comparer(func(a, b float64) bool { return a == b || a != a && b != b }), cmp.Comparer(func(a, b float32) bool { return a == b || a != a && b != b })); d != "" {
			t.Fatal(d)
		}
		svc, op := kinds()
		out, err := AppendOutput(nil, svc, op, in, "r")
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal(out, new(struct{})); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
	})
}
