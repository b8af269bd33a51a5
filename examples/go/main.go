// A tour of a server: its models, an influence job, a hybrid, and a job that is cancelled.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/longrunning"
	"google.golang.org/grpc/status"

	pb "graftscope.example/tour/graftscopev1"
)

// Of one call; jobs have no limit.
const timeout = time.Minute

var (
	address   = flag.String("server", or(os.Getenv("GRAFTSCOPE_SERVER"), "127.0.0.1:50051"), "`HOST:PORT`")
	authority = flag.String("ca", os.Getenv("GRAFTSCOPE_CA"), "`FILE` of the authority of the server's certificate, which turns on TLS")
	tokenFile = flag.String("token-file", "", "`FILE` with your token (default $GRAFTSCOPE_TOKEN)")
	modelName = flag.String("model", "", "`NAME` (default the server's first)")
	layer     = flag.String("layer", "coarse", "a layer's `NAME`, or coarse, intermediate, fine")
	pairs     = flag.Uint("pairs", 64, "of originals, for the influence maps")
	out       = flag.String("out", ".", "`DIR` where hybrid.png is written")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := tour(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", Line(err))
		os.Exit(1)
	}
}

func tour(ctx context.Context) error {
	token, err := readToken()
	if err != nil {
		return err
	}
	server, err := Connect(*address, *authority, token)
	if err != nil {
		return err
	}
	defer server.Close()
	model, err := models(ctx, server)
	if err != nil {
		return err
	}
	if *modelName != "" {
		model = "models/" + *modelName
	}
	order, err := influence(ctx, server, model)
	if err != nil {
		return err
	}
	if err := hybrid(ctx, server, model, order); err != nil {
		return err
	}
	return cancelled(ctx, server, model)
}

// models shows what a server serves, and gives the first of its models.
func models(ctx context.Context, server *Server) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	reply, err := server.Models.ListModels(ctx, &pb.ListModelsRequest{})
	if err != nil {
		return "", err
	}
	first := ""
	for _, model := range reply.GetModels() {
		first = or(first, model.GetName())
		var layers []string
		for _, layer := range model.GetBundle().GetLayers() {
			layers = append(layers, fmt.Sprintf("%s (%d)", layer.GetName(), layer.GetChannels()))
		}
		image := model.GetBundle().GetImage()
		fmt.Printf("%s: images of %d x %d; channels of %s\n",
			model.GetName(), image.GetWidth(), image.GetHeight(), strings.Join(layers, ", "))
	}
	return first, nil
}

// influence shows how much, and where, the strongest channels of a layer change the image; it gives
// all of them, the strongest first. The call answers at once with a job; its result is a set of
// arrays, which are read only as they are needed.
func influence(ctx context.Context, server *Server, model string) ([]int, error) {
	job, err := startInfluence(ctx, server, model, 1, uint32(*pairs))
	if err != nil {
		return nil, err
	}
	ended, err := server.Watch(ctx, job.GetName(), func(progress *pb.Progress) error {
		fmt.Printf("influence: %s\n", progressOf(progress))
		return nil
	})
	if err != nil {
		return nil, err
	}
	var found pb.InfluenceResponse
	if err := Result(ended, &found); err != nil {
		return nil, err
	}
	maps, err := server.Float64s(ctx, found.GetMaps()) // (channels, height, width)
	if err != nil {
		return nil, err
	}
	individual, err := server.Float64s(ctx, found.GetIndividual()) // (channels,)
	if err != nil {
		return nil, err
	}
	order := make([]int, len(individual))
	for channel := range order {
		order[channel] = channel
	}
	sort.SliceStable(order, func(a, b int) bool {
		return individual[order[a]] > individual[order[b]]
	})
	shape := found.GetMaps().GetArtifact().GetShape()
	width, size := int(shape[2]), int(shape[1]*shape[2])
	for _, channel := range order[:min(3, len(order))] {
		at := largest(maps[channel*size : (channel+1)*size])
		fmt.Printf("channel %d changes the image by %.4f %% of its range, most at x %d, y %d\n",
			channel, 100*individual[channel]/found.GetRangeWidth(), at%width, at/width)
	}
	fmt.Printf("maps: %d x %d x %d, sha256 %s\n",
		shape[0], shape[1], shape[2], found.GetMaps().GetArtifact().GetSha256())
	return order, nil
}

// hybrid makes one sample with the strongest quarter of the channels' values from another.
func hybrid(ctx context.Context, server *Server, model string, order []int) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	channels := make([]uint32, (len(order)+3)/4)
	for i := range channels {
		channels[i] = uint32(order[i])
	}
	reply, err := server.Models.Hybridize(ctx, &pb.HybridizeRequest{
		Model: model,
		Intervention: &pb.Intervention{Edits: []*pb.Edit{{
			Layer:  *layer,
			Target: &pb.Edit_Channels{Channels: &pb.Channels{Indices: channels}},
			Action: &pb.Edit_Swap{Swap: &pb.Swap{}}, // from original 2 of the pair
		}}},
		Pairs:    &pb.Pairs{Seed: 7, Count: 1},
		Encoding: pb.ImageEncoding_IMAGE_ENCODING_PNG,
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	path := filepath.Join(*out, "hybrid.png")
	if err := os.WriteFile(path, Files(reply.GetHybrid().GetTensor())[0], 0o644); err != nil {
		return err
	}
	fmt.Printf("hybrid of %d channels -> %s\n", len(channels), path)
	return nil
}

// cancelled starts a job that is too long, and ends it as soon as it has begun. What it has done is
// kept: the same request would go on from there.
func cancelled(ctx context.Context, server *Server, model string) error {
	job, err := startInfluence(ctx, server, model, 2, 1_000_000)
	if err != nil {
		return err
	}
	asked := false
	ended, err := server.Watch(ctx, job.GetName(), func(progress *pb.Progress) error {
		if asked || progress.GetShardsDone() == 0 {
			return nil
		}
		asked = true
		request := &longrunning.CancelOperationRequest{Name: job.GetName()}
		_, err := server.Operations.CancelOperation(ctx, request)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("cancelled: %s\n", status.FromProto(ended.GetError()).Code())
	return nil
}

func startInfluence(
	ctx context.Context, server *Server, model string, seed, count uint32,
) (*longrunning.Operation, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return server.Analyses.Influence(ctx, &pb.InfluenceRequest{
		Model: model,
		Layer: *layer,
		Pairs: &pb.Pairs{Seed: seed, Count: count},
	})
}

func progressOf(progress *pb.Progress) string {
	state := strings.ToLower(strings.TrimPrefix(progress.GetState().String(), "JOB_STATE_"))
	return fmt.Sprintf("%s, %d of %d shards", state, progress.GetShardsDone(), progress.GetShardsTotal())
}

func largest(elements []float64) int {
	at := 0
	for i, each := range elements {
		if each > elements[at] {
			at = i
		}
	}
	return at
}

func readToken() (string, error) {
	if *tokenFile == "" {
		return os.Getenv("GRAFTSCOPE_TOKEN"), nil
	}
	text, err := os.ReadFile(*tokenFile)
	return strings.TrimSpace(string(text)), err
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
