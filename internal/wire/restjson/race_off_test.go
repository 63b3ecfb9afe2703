//go:build !race

package restjson

const spared = 0
