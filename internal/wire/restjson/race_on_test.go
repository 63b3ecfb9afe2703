//go:build race

package restjson

// spared is how many values more the race detector may drop from pools, which it
// does at random.
const spared = 4
