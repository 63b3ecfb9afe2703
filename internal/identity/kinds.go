package identity

// kinds lists every kind of entity that the directory keeps. It is read-only.
var kinds = []anyKind{
	&accountKind,
	&settingsKind,
	&userKind,
	&groupKind,
	&roleKind,
	&policyKind,
	&profileKind,
	&mfaKind,
	&oidcKind,
	&resetKind,
	&jobKind,
	&orgKind,
	&unitKind,
	&memberKind,
	&controlKind,
	&requestKind,
}
