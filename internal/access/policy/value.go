package policy

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// parseNumber reads a decimal number, perhaps with a sign, a fraction and an
// exponent. Infinities, hexadecimal numbers and the like are none.
func parseNumber(s string) (float64, bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', c == '+', c == '-', c == '.', c == 'e', c == 'E':
		default:
			return 0, false
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && !math.IsInf(n, 0)
}

// parseBool reads true or false in any case.
func parseBool(s string) (truth, ok bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return true, true
	case strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

// parsePrefix reads an address or a range of addresses. Bits behind the length of
// a range do not count; an IPv4 address in the clothes of IPv6 is an IPv4 address.
func parsePrefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return netip.Prefix{}, false
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), true
}

// parseDate reads a date in one of the W3C's forms of ISO 8601, or the seconds
// since 1970. Four digits alone are a year. Dates without an offset are UTC.
//
// Source: W3C note "Date and Time Formats".
func parseDate(s string) (time.Time, bool) {
	if when, ok := parseW3C(s); ok {
		return when, true
	}
	if s == "" || len(s) > 12 {
		return time.Time{}, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return time.Time{}, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(n, 0).UTC(), err == nil
}

func parseW3C(s string) (time.Time, bool) {
	fields := [6]int{1: 1, 2: 1} // year, month, day, hour, minute, second
	limits := [6][2]int{{0, 9999}, {1, 12}, {1, 31}, {0, 23}, {0, 59}, {0, 59}}
	separators := [6]byte{0, '-', '-', 'T', ':', ':'}
	n := 0
	for ; n < len(fields); n++ {
		width := 2
		if n == 0 {
			width = 4
		} else {
			if s == "" || s[0] != separators[n] {
				break
			}
			s = s[1:]
		}
		v, ok := digits(s, width)
		if !ok || v < limits[n][0] || v > limits[n][1] {
			return time.Time{}, false
		}
		fields[n], s = v, s[width:]
	}
	nanos := 0
	if n == 6 && s != "" && s[0] == '.' {
		end := 1
		for end < len(s) && '0' <= s[end] && s[end] <= '9' {
			end++
		}
		if end == 1 {
			return time.Time{}, false
		}
		scale := 100_000_000
		for _, c := range []byte(s[1:min(end, 10)]) {
			nanos += int(c-'0') * scale
			scale /= 10
		}
		s = s[end:]
	}
	offset, ok := 0, true
	switch {
	case s == "":
	case n < 5: // no time, or hours alone
		return time.Time{}, false
	default:
		offset, ok = parseOffset(s)
	}
	if n == 4 || !ok {
		return time.Time{}, false
	}
	when := time.Date(fields[0], time.Month(fields[1]), fields[2], fields[3], fields[4], fields[5], nanos, time.UTC)
	if when.Day() != fields[2] { // 31 February
		return time.Time{}, false
	}
	return when.Add(-time.Duration(offset) * time.Minute), true
}

// parseOffset reads Z, +hh:mm or -hh:mm, in minutes.
func parseOffset(s string) (int, bool) {
	if s == "Z" {
		return 0, true
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	hours, ok1 := digits(s[1:], 2)
	minutes, ok2 := digits(s[4:], 2)
	if !ok1 || !ok2 || hours > 23 || minutes > 59 {
		return 0, false
	}
	if s[0] == '-' {
		return -hours*60 - minutes, true
	}
	return hours*60 + minutes, true
}

// digits reads exactly width digits at the start of s.
func digits(s string, width int) (int, bool) {
	if len(s) < width {
		return 0, false
	}
	n := 0
	for i := range width {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}
