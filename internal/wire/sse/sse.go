// Package sse writes server-sent events, the streams of the providers' own APIs.
//
// Source: WHATWG HTML, "Server-sent events".
package sse

import "bytes"

// ContentType is the media type of a stream of events.
const ContentType = "text/event-stream; charset=utf-8"

// Append appends one event to dst. name "" leaves the event without one. Line
// ends in data split it into several data lines, which readers join again.
func Append(dst []byte, name string, data []byte) []byte {
	if name != "" {
		dst = append(dst, "event: "...)
		dst = append(dst, name...)
		dst = append(dst, '\n')
	}
	for {
		line, rest, more := bytes.Cut(data, []byte{'\n'})
		dst = append(dst, "data: "...)
		dst = append(dst, bytes.TrimSuffix(line, []byte{'\r'})...)
		dst = append(dst, '\n')
		if !more {
			return append(dst, '\n')
		}
		data = rest
	}
}
