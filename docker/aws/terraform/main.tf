# The stack of ../cadmill.yaml, for those who keep their infrastructure in Terraform. It has no resource of its own.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "name" {
  type    = string
  default = "cadmill"
}

variable "parameters" {
  type        = map(string)
  description = "Parameters of the template, such as WorkerImage, ApiImage, CleanupImage, CertificateArn and ApiTokens"
}

resource "aws_cloudformation_stack" "cadmill" {
  name          = var.name
  template_body = file("${path.module}/../cadmill.yaml")
  parameters    = var.parameters
  capabilities  = ["CAPABILITY_IAM"]

  timeouts {
    create = "60m"
    update = "6h"
  }
}

output "outputs" {
  value = aws_cloudformation_stack.cadmill.outputs
}
