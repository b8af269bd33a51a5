module graftscope.example/tour

go 1.21
