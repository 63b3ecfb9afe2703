package llm

import "time"

// RankRequest asks how well each document answers a query.
type RankRequest struct {
	Query     string
	Documents []string
}

// RankResponse holds one score per document, in their order: 0..1, higher is
// better.
type RankResponse struct {
	Scores  []float64
	Tokens  int // of the query and all documents
	Latency time.Duration
}

// PictureTask is what a picture is made from.
type PictureTask string

// The tasks of the families.
const (
	TextToImage       PictureTask = "text_to_image"
	ImageToImage      PictureTask = "image_to_image"
	Inpaint           PictureTask = "inpaint"
	Outpaint          PictureTask = "outpaint"
	Variation         PictureTask = "variation"
	ColorGuided       PictureTask = "color_guided"
	RemoveBackground  PictureTask = "remove_background"
	VirtualTryOn      PictureTask = "virtual_try_on"
	UpscaleOrEdit     PictureTask = "edit"
	ControlledDrawing PictureTask = "control"
)

// PictureRequest asks for pictures.
type PictureRequest struct {
	Task       PictureTask
	Prompt     string
	Negative   string   `json:",omitempty"` // what should not be in it
	Style      string   `json:",omitempty"` // the family's word for a style, e.g. "pixel-art"
	Images     []Media  `json:",omitempty"` // the pictures to start from
	Mask       *Media   `json:",omitempty"` // black is changed; nil: what is transparent in Images[0]
	MaskPrompt string   `json:",omitempty"` // instead of Mask: what is changed, in words
	KeepMask   bool     `json:",omitempty"` // Mask and MaskPrompt tell what is kept instead
	Control    string   `json:",omitempty"` // ControlledDrawing: what is taken from Images[0], "canny_edge" or "segmentation"
	Colors     []string `json:",omitempty"` // "#rrggbb"
	Width      int      // pixels; 0 means that of Images[0]
	Height     int      // pixels; 0 means that of Images[0]
	Count      int      // pictures; at least 1
	Seed       *int64   `json:",omitempty"`
	Steps      int      `json:",omitempty"` // of denoising; 0 means the weights' own
	Guidance   *float64 `json:",omitempty"` // how closely the prompt is followed
	Strength   *float64 `json:",omitempty"` // 0..1: how far the result may leave Images[0]
	Format     string   // "png", "jpeg", "webp"
}

// PictureResponse holds the pictures in the order in which they were made.
type PictureResponse struct {
	Images  [][]byte // in the request's format
	Seeds   []int64
	Latency time.Duration
}
