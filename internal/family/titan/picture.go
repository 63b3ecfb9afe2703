package titan

import (
	"slices"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/family/canvas"
)

// pictureRules are those of Titan Image Generator G1: v1 has four tasks, v2 two
// more and condition images.
func pictureRules(id string) canvas.Rules {
	return canvas.Rules{
		MaxText: 512, Guidance: 8, Seed: 42, MaxSeed: 2147483646,
		Basic: strings.Contains(id, "generator-v1"), Size: pictureSize,
	}
}

// pictureSize tells what is wrong with a size that the model was not made for.
func pictureSize(width, height int) string {
	if validSize(width, height) {
		return ""
	}
	return strconv.Itoa(width) + "x" + strconv.Itoa(height) + " is not a valid size"
}

func validSize(width, height int) bool {
	turned := [...][2]int{ // these, upright and lying
		{1024, 1024}, {768, 768}, {512, 512},
		{768, 1152}, {384, 576}, {768, 1280}, {384, 640}, {896, 1152},
		{448, 576}, {768, 1408}, {384, 704}, {640, 1408}, {320, 704},
	}
	size := [2]int{width, height}
	return size == [2]int{1152, 640} || size == [2]int{1173, 640} ||
		slices.Contains(turned[:], size) || slices.Contains(turned[:], [2]int{height, width})
}
