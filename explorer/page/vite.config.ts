import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [svelte()],
  base: "./",
  build: {
    outDir: "../graftscope/explorer/static",
    emptyOutDir: true,
    target: "es2022",
    // The page may load nothing but its own files, so none of them is written into another.
    assetsInlineLimit: 0,
    modulePreload: false,
    rolldownOptions: {
      // Names without hashes: the gateway lets no browser keep them, and history shows what changed.
      output: { entryFileNames: "assets/[name].js", assetFileNames: "assets/[name][extname]" },
    },
  },
});
