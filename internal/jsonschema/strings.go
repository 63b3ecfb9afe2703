package jsonschema

import (
	"fmt"
	"regexp"
	"strings"
)

// maxChars is the largest minLength, and the largest shortest match of a
// pattern, that the grammar follows.
const maxChars = 2_000

// stringOf is what a string must be: the conjunction of all that is said of it.
type stringOf struct {
	least, most int // code points; most is -1 when open
	patterns    []*pattern
	format      string
	languages   []language // to be met as they are
	pointer     string     // for errors
}

// text returns the graph of the strings that fit, without their quotes. errEmpty
// says that no string fits.
func (c *compiler) text(s stringOf) (*graph, error) {
	least := max(s.least, 0)
	if least > maxChars {
		return nil, &Error{Pointer: s.pointer, Keyword: "minLength", Reason: fmt.Sprintf("above %d is not supported", maxChars)}
	}
	if s.most >= 0 && s.most < least {
		return nil, errEmpty
	}
	if len(s.patterns) == 0 {
		if p := formatPattern(s.format); p != nil {
			g, err := c.meet(s, least, append([]language{{pattern: p}}, s.languages...))
			if err == nil {
				return g, nil
			}
		}
		return c.meet(s, least, s.languages)
	}
	// A pattern without anchors fits anywhere in a string. Strings that are a
	// match from end to end are what its author means; the others serve when
	// the length rules those out.
	exact, search := append([]language(nil), s.languages...), append([]language(nil), s.languages...)
	for _, p := range s.patterns {
		exact = append(exact, language{pattern: p})
		search = append(search, language{pattern: p, search: true})
	}
	g, err := c.meet(s, least, exact)
	if err != nil {
		g, err = c.meet(s, least, search)
	}
	return g, err
}

// meet intersects languages under the bounds of a string.
func (c *compiler) meet(s stringOf, least int, languages []language) (*graph, error) {
	p, err := c.intersect(s, languages)
	if err != nil {
		return nil, err
	}
	most := s.most
	if most < 0 || most > maxChars {
		most = maxChars
	}
	shortest, ok := p.shortest(least, most)
	if !ok {
		return nil, errEmpty
	}
	most = min(most, max(c.limits.text, shortest+shortest/4))
	g, ok := p.unroll(least, most)
	if !ok || !c.spend(costState*len(g.states)) {
		return nil, errTooLarge
	}
	return g, nil
}

// intersect remembers products: an attempt under lower limits needs them again.
func (c *compiler) intersect(s stringOf, languages []language) (*product, error) {
	key := languagesKey(languages)
	if p, ok := c.products[key]; ok && p != nil {
		return p, nil
	} else if !ok {
		p, _ := intersect(languages, c.spend)
		c.products[key] = p
		if p != nil {
			return p, nil
		}
	}
	return nil, &Error{Pointer: s.pointer, Keyword: "pattern", Reason: "is too complex to be guaranteed"}
}

// string returns a fragment for the strings that fit.
func (c *compiler) string(s stringOf) (fragment, error) {
	key := s.key()
	if r, ok := c.strings[key]; ok {
		return r.f, r.err
	}
	var r result
	g, err := c.text(s)
	if r.err = err; err == nil {
		f, ok := c.graph(g, 0)
		if r.f = c.quote(f); !ok {
			r.err = errEmpty
		}
	}
	c.strings[key] = r
	return r.f, r.err
}

// key tells strings apart that differ in what they must be.
func (s stringOf) key() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %d %q %s", s.least, s.most, s.format, languagesKey(s.languages))
	for _, p := range s.patterns {
		fmt.Fprintf(&b, " %q", p.text)
	}
	return b.String()
}

func languagesKey(languages []language) string {
	var b strings.Builder
	for _, l := range languages {
		fmt.Fprintf(&b, "%t %t %q\n", l.search, l.negate, l.pattern.text)
	}
	return b.String()
}

// quote puts a fragment between quotation marks.
func (c *compiler) quote(f fragment) fragment {
	if f.expr == "" {
		return literal(`""`)
	}
	return fragment{c.rule(`"\"" ` + f.expr + ` "\""`), f.max + 2}
}

// noneOf is the language of all strings but the given ones.
func noneOf(words []string) (language, error) {
	quoted := make([]string, len(words))
	for i, s := range words {
		quoted[i] = regexp.QuoteMeta(s)
	}
	p, err := compilePattern("^(?:" + strings.Join(quoted, "|") + ")$")
	return language{pattern: p, search: true, negate: true}, err
}

// formatPattern returns what strings of a known format look like; nil for
// others. It admits a part of what the format allows.
func formatPattern(format string) *pattern {
	const (
		date = `[12]\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))`
		time = `(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,3})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)`
		byt  = `(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`
		host = `[a-z0-9]+(?:-[a-z0-9]+)?(?:\.[a-z0-9]+)?\.[a-z]{2,6}`
	)
	text := map[string]string{
		"date":      date,
		"time":      time,
		"date-time": date + "T" + time,
		"uuid":      `[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`,
		"ipv4":      byt + `(?:\.` + byt + `){3}`,
		"ipv6":      `(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}`,
		"email":     `[A-Za-z0-9]+(?:[._+-][A-Za-z0-9]+)?@` + host,
		"hostname":  host,
		"uri":       `https?://` + host + `(?:/[A-Za-z0-9._~-]+)*/?`,
		"duration":  `P(?:\d{1,3}D|T\d{1,3}[HMS]|\d{1,3}DT\d{1,3}[HMS])`,
	}[format]
	if text == "" {
		return nil
	}
	p, err := compilePattern(text)
	if err != nil {
		return nil
	}
	return p
}
