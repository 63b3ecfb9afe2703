package awsquery

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// ContentType is the media type of responses.
const ContentType = "text/xml"

// AppendOutput appends the XML of out, a pointer to op's output struct, to dst.
// out may be nil when the model has no output for op: there is no Result element
// then. Texts of shapes that are marked URLEncoded, such as IAM's policy
// documents, go out percent-encoded; handlers give them plain.
//
// An error means that out does not fit op.
func AppendOutput(dst []byte, svc *awsapi.Service, op *awsapi.Operation, out any, requestID string) ([]byte, error) {
	dst = append(dst, '<')
	dst = append(dst, op.Name...)
	dst = append(dst, `Response xmlns="`...)
	dst = appendEscaped(dst, svc.XMLNamespace)
	dst = append(dst, `">`...)
	if op.Output != 0 && !op.Void {
		v := reflect.ValueOf(out)
		if v.Kind() != reflect.Pointer || v.IsNil() {
			return dst, fmt.Errorf("awsquery: output of %s: %T is not a pointer", op.Name, out)
		}
		var err error
		if dst, err = appendElement(dst, svc, op.Output, v.Elem(), op.Name+"Result", ""); err != nil {
			return dst, fmt.Errorf("awsquery: output of %s: %w", op.Name, err)
		}
	}
	dst = append(dst, "<ResponseMetadata>"...)
	dst = appendText(dst, "RequestId", requestID)
	dst = append(dst, "</ResponseMetadata></"...)
	dst = append(dst, op.Name...)
	return append(dst, "Response>"...), nil
}

func appendElement(dst []byte, svc *awsapi.Service, id awsapi.ShapeID, v reflect.Value, tag, format string) ([]byte, error) {
	v = reflect.Indirect(v)
	dst = append(append(append(dst, '<'), tag...), '>')
	dst, err := appendContent(dst, svc, svc.Shape(id), v, format)
	return append(append(append(dst, "</"...), tag...), '>'), err
}

func appendContent(dst []byte, svc *awsapi.Service, s *awsapi.Shape, v reflect.Value, format string) ([]byte, error) {
	var err error
	switch s.Kind {
	case awsapi.Structure, awsapi.Union:
		if v.Kind() != reflect.Struct || v.NumField() != len(s.Members) {
			return dst, fmt.Errorf("%s does not fit shape %s", v.Type(), s.Name)
		}
		for i := range s.Members {
			m, f := &s.Members[i], v.Field(i)
			if isNil(f) {
				continue
			}
			if dst, err = appendElement(dst, svc, m.Shape, f, m.Key(), m.TimestampFormat); err != nil {
				return dst, fmt.Errorf("%s: %w", m.Name, err)
			}
		}
	case awsapi.List:
		for i := range v.Len() {
			if dst, err = appendElement(dst, svc, s.Elem, v.Index(i), "member", ""); err != nil {
				return dst, err
			}
		}
	case awsapi.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			dst = appendText(append(dst, "<entry>"...), "key", k.String())
			if dst, err = appendElement(dst, svc, s.Elem, v.MapIndex(k), "value", ""); err != nil {
				return dst, err
			}
			dst = append(dst, "</entry>"...)
		}
	case awsapi.String:
		if s.URLEncoded {
			return appendURLEncoded(dst, v.String()), nil
		}
		dst = appendEscaped(dst, v.String())
	case awsapi.Boolean:
		dst = strconv.AppendBool(dst, v.Bool())
	case awsapi.Integer, awsapi.Long:
		dst = strconv.AppendInt(dst, v.Int(), 10)
	case awsapi.Float, awsapi.Double:
		dst = strconv.AppendFloat(dst, v.Float(), 'g', -1, v.Type().Bits())
	case awsapi.Blob:
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes())
	case awsapi.Timestamp:
		t, _ := v.Interface().(time.Time)
		dst = appendTime(dst, t, format)
	default:
		return dst, fmt.Errorf("shape %s has kind %d", s.Name, s.Kind)
	}
	return dst, nil
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return v.IsNil()
	}
	return false
}

// appendTime writes t in UTC, with milliseconds when it has any.
func appendTime(dst []byte, t time.Time, format string) []byte {
	t = t.UTC()
	switch {
	case format == "unixTimestamp":
		return strconv.AppendInt(dst, t.Unix(), 10)
	case t.Nanosecond() >= int(time.Millisecond):
		return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05Z")
}

func appendText(dst []byte, tag, text string) []byte {
	dst = append(append(append(dst, '<'), tag...), '>')
	dst = appendEscaped(dst, text)
	return append(append(append(dst, "</"...), tag...), '>')
}

// appendEscaped writes text for an element or a quoted attribute. White space
// that a parser would change is written as a reference; what XML cannot hold
// becomes U+FFFD.
func appendEscaped(dst []byte, text string) []byte {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '"':
			dst = append(dst, "&#34;"...)
		case r == '\'':
			dst = append(dst, "&#39;"...)
		case r == '\t':
			dst = append(dst, "&#x9;"...)
		case r == '\n':
			dst = append(dst, "&#xA;"...)
		case r == '\r':
			dst = append(dst, "&#xD;"...)
		case r < ' ', r == utf8.RuneError && n == 1, r == 0xfffe, r == 0xffff:
			dst = append(dst, "\ufffd"...)
		default:
			dst = append(dst, text[i:i+n]...)
		}
		i += n
	}
	return dst
}

// appendURLEncoded writes text percent-encoded: every byte but the unreserved
// characters of RFC 3986, section 2.3. What comes out needs no escapes in XML.
func appendURLEncoded(dst []byte, text string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// AppendError appends the XML of e to dst and returns the HTTP status to send
// with it, which differs from e's where the query protocol has its own.
func AppendError(dst []byte, svc *awsapi.Service, e *apierr.Error, requestID string) (body []byte, status int) {
	code, status := errorCode(svc, e)
	kind := "Sender"
	if status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	dst = append(dst, "<ErrorResponse"...)
	if svc != nil {
		dst = append(appendEscaped(append(dst, ` xmlns="`...), svc.XMLNamespace), '"')
	}
	dst = append(dst, "><Error>"...)
	dst = appendText(dst, "Type", kind)
	dst = appendText(dst, "Code", code)
	dst = appendText(dst, "Message", e.Message)
	dst = append(dst, "</Error>"...)
	dst = appendText(dst, "RequestId", requestID)
	return append(dst, "</ErrorResponse>"...), status
}

// errorCode returns the short code that the query protocol shows for e, and its
// status. svc may be nil when the service is not known.
func errorCode(svc *awsapi.Service, e *apierr.Error) (string, int) {
	status := e.HTTPStatus()
	switch e.Code {
	case apierr.CodeUnrecognizedClient:
		return "InvalidClientTokenId", status
	case apierr.CodeInvalidSignature:
		return "SignatureDoesNotMatch", status
	case apierr.CodeMissingAuth:
		return "MissingAuthenticationToken", status
	case apierr.CodeIncompleteSignature:
		return "IncompleteSignature", http.StatusBadRequest
	case apierr.CodeAccessDenied:
		return "AccessDenied", status
	case apierr.CodeThrottling:
		return "Throttling", http.StatusBadRequest
	case apierr.CodeValidation:
		return "ValidationError", status
	case apierr.CodeSerialization:
		return "MalformedInput", status
	case apierr.CodeUnknownOperation:
		return "InvalidAction", http.StatusBadRequest
	case apierr.CodeInternal:
		return "InternalFailure", status
	case apierr.CodeServiceUnavailable:
		return "ServiceUnavailable", status
	case apierr.CodeExpiredToken:
		if status == http.StatusForbidden { // the caller's own credentials, not a token in the body
			return "ExpiredToken", status
		}
	}
	if svc == nil {
		return e.Code, status
	}
	for i := range svc.Shapes {
		if s := &svc.Shapes[i]; s.Error != nil && s.Name == e.Code && s.Error.Code != "" {
			return s.Error.Code, status
		}
	}
	return e.Code, status
}
