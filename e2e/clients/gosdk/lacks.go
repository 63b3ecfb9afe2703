package main

// lacks names what this version of the SDK has no way to ask for, and why.
var lacks = map[string]string{}
