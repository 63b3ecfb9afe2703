package identity

import "context"

// settings are what an account has once.
type settings struct {
	Alias string `json:",omitempty"` // "" none
}

var settingsKind = kind[settings]{name: "iam/settings", id: func(*settings) string { return "settings" }}

// Alias returns the alias of an account, "" for none.
func (d *Directory) Alias(acct string) string {
	if s := find(d.state.Load(), &settingsKind, acct, "settings"); s != nil {
		return s.Alias
	}
	return ""
}

// SetAlias gives an account its alias, in place of the one it had. Aliases are
// unique in the installation.
//
// Errors: ValidationError for one that has no 3 to 63 lower-case letters, digits
// and single hyphens between them; EntityAlreadyExists.
func (d *Directory) SetAlias(ctx context.Context, acct, alias string) error {
	if !validAlias(alias) {
		return apiError(codeValidation, "AccountAlias: must have 3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends")
	}
	return d.change(ctx, func(t *tx) error {
		for other := range t.state.accounts {
			if s := find(t.state, &settingsKind, other, "settings"); s != nil && s.Alias == alias {
				if other == acct {
					return nil
				}
				return apiError(codeExists, "The account alias %s already exists.", alias)
			}
		}
		return put(t, &settingsKind, acct, &settings{Alias: alias})
	})
}

// DeleteAlias takes the alias from an account. Errors: NoSuchEntity.
func (d *Directory) DeleteAlias(ctx context.Context, acct, alias string) error {
	return d.change(ctx, func(t *tx) error {
		s := find(t.state, &settingsKind, acct, "settings")
		if s == nil || s.Alias != alias {
			return apiError(codeNoSuchEntity, "The account alias %s cannot be found.", alias)
		}
		return put(t, &settingsKind, acct, &settings{})
	})
}

func validAlias(s string) bool {
	if len(s) < 3 || len(s) > 63 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c == '-' && i > 0 && i < len(s)-1 && s[i-1] != '-':
		default:
			return false
		}
	}
	return true
}
