"""The accelerator as Amaranth components, each small and simulated on its own."""
