"""The vision-language-action policy and its supervised fine-tuning."""
