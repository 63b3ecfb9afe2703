package body

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/llm"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD; nothing is escaped that JSON does not ask for, so no HTML.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// AppendStringOrNull is AppendString, with null for the empty string.
func AppendStringOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return AppendString(dst, s)
}

// AppendObject appends the input of a tool call without white space around its
// parts. What is no JSON object, as when the token limit cut it off, becomes {}.
func AppendObject(dst, object []byte) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, object); err != nil || b.Len() == 0 || b.Bytes()[0] != '{' || !utf8.Valid(object) {
		return append(dst, "{}"...)
	}
	return append(dst, b.Bytes()...)
}

// AppendInt appends n.
func AppendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }

// AppendFloats appends a vector as a JSON array; each number is the shortest
// that reads back as the same float32. A value that JSON cannot hold becomes 0.
func AppendFloats(dst []byte, v []float32) []byte {
	dst = append(dst, '[')
	for i, x := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
			x = 0
		}
		dst = strconv.AppendFloat(dst, float64(x), 'g', -1, 32)
	}
	return append(dst, ']')
}

// AppendMetrics appends the member "amazon-bedrock-invocationMetrics", which
// stands in the last chunk of every native stream. Latencies are milliseconds.
// Tokens of the cache stand beside the others when there are any.
func AppendMetrics(dst []byte, u llm.Usage, latency, firstByte time.Duration) []byte {
	dst = append(dst, `"amazon-bedrock-invocationMetrics":{"inputTokenCount":`...)
	dst = AppendInt(dst, u.Uncached())
	dst = append(dst, `,"outputTokenCount":`...)
	dst = AppendInt(dst, u.OutputTokens)
	dst = append(dst, `,"invocationLatency":`...)
	dst = strconv.AppendInt(dst, latency.Milliseconds(), 10)
	dst = append(dst, `,"firstByteLatency":`...)
	dst = strconv.AppendInt(dst, firstByte.Milliseconds(), 10)
	if u.CacheRead > 0 || u.CacheWrite > 0 {
		dst = append(dst, `,"cacheReadInputTokenCount":`...)
		dst = AppendInt(dst, u.CacheRead)
		dst = append(dst, `,"cacheWriteInputTokenCount":`...)
		dst = AppendInt(dst, u.CacheWrite)
	}
	return append(dst, '}')
}
