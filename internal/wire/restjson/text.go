package restjson

import (
	"encoding/base64"
	"errors"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// The timestamp formats of the models.
const (
	formatISO  = "iso8601"
	formatUnix = "unixTimestamp"
	formatHTTP = "rfc822"
)

var (
	errFraction = errors.New("not an integer")
	errRange    = errors.New("out of range")
)

func minInt(bits int) int64 { return -1 << (bits - 1) }
func maxInt(bits int) int64 { return 1<<(bits-1) - 1 }

// parseInteger reads a JSON number that must be integral: 5, 5.0 or 5e0. Numbers
// written with a fraction or exponent are exact up to 2^53.
func parseInteger(raw []byte, whole bool, bits int) (int64, error) {
	if whole {
		n, err := strconv.ParseInt(string(raw), 10, bits)
		if err != nil {
			return 0, errRange
		}
		return n, nil
	}
	x, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case err != nil || math.Abs(x) > 1<<53:
		return 0, errRange
	case x != math.Trunc(x):
		return 0, errFraction
	}
	n := int64(x)
	if n < minInt(bits) || n > maxInt(bits) {
		return 0, errRange
	}
	return n, nil
}

// parseTime reads a timestamp. Years 1 to 9999 are accepted; the result is UTC.
func parseTime(s, format string) (time.Time, bool) {
	var t time.Time
	var err error
	switch format {
	case formatUnix:
		var x float64
		if x, err = strconv.ParseFloat(s, 64); err == nil {
			if math.IsNaN(x) || math.Abs(x) > 1<<38 {
				return t, false
			}
			t = time.UnixMilli(int64(math.Round(x * 1000)))
		}
	case formatHTTP:
		t, err = http.ParseTime(s)
	default:
		t, err = time.Parse(time.RFC3339Nano, s)
	}
	t = t.UTC()
	return t, err == nil && t.Year() >= 1 && t.Year() <= 9999
}

// appendTime writes t in UTC, with milliseconds when it has any.
func appendTime(dst []byte, t time.Time, format string) []byte {
	t = t.UTC()
	ms := t.Nanosecond() / int(time.Millisecond)
	switch format {
	case formatUnix:
		dst = strconv.AppendInt(dst, t.Unix(), 10)
		if ms > 0 {
			dst = append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10)) // #nosec G115 -- digits
		}
		return dst
	case formatHTTP:
		return t.AppendFormat(dst, http.TimeFormat)
	}
	if ms > 0 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05Z")
}

// timeFormat returns the format of a timestamp member that travels in loc.
func timeFormat(m *awsapi.Member) string {
	switch {
	case m.TimestampFormat != "":
		return m.TimestampFormat
	case m.Location == awsapi.InHeader:
		return formatHTTP
	}
	return formatISO
}

// setText reads a path, query or header value into v. The error is a sentence's
// end that says what the value must be; "" means none.
func setText(p *plan, v reflect.Value, s, format string) string {
	switch p.shape.Kind {
	case awsapi.String:
		v.SetString(s)
	case awsapi.Boolean:
		if s != "true" && s != "false" {
			return "must be true or false"
		}
		v.SetBool(s == "true")
	case awsapi.Integer, awsapi.Long:
		n, err := strconv.ParseInt(s, 10, v.Type().Bits())
		if err != nil {
			return "must be an integer between " + strconv.FormatInt(minInt(v.Type().Bits()), 10) + " and " + strconv.FormatInt(maxInt(v.Type().Bits()), 10)
		}
		v.SetInt(n)
	case awsapi.Float, awsapi.Double:
		x, err := strconv.ParseFloat(s, v.Type().Bits())
		if err != nil {
			return "must be a number"
		}
		v.SetFloat(x)
	case awsapi.Timestamp:
		t, ok := parseTime(s, format)
		if !ok && format != formatUnix { // some clients send seconds everywhere
			t, ok = parseTime(s, formatUnix)
		}
		if !ok {
			return "must be a timestamp such as 2024-01-31T12:00:00Z"
		}
		*(v.Addr().Interface().(*time.Time)) = t
	case awsapi.Blob:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return "must be base64 text"
		}
		v.SetBytes(b)
	}
	return ""
}

// appendText writes v as a header value.
func appendText(dst []byte, p *plan, v reflect.Value, format string) []byte {
	switch p.shape.Kind {
	case awsapi.String:
		dst = append(dst, v.String()...)
	case awsapi.Boolean:
		dst = strconv.AppendBool(dst, v.Bool())
	case awsapi.Integer, awsapi.Long:
		dst = strconv.AppendInt(dst, v.Int(), 10)
	case awsapi.Float, awsapi.Double:
		dst = strconv.AppendFloat(dst, v.Float(), 'g', -1, v.Type().Bits())
	case awsapi.Timestamp:
		dst = appendTime(dst, *(v.Addr().Interface().(*time.Time)), format)
	case awsapi.Blob:
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes())
	}
	return dst
}
